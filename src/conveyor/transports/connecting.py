"""From a URL and options to a queue or topic."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from .._memory.devices import Cuda, copies_devices
from ..errors import NotSupported, VersionMismatch, WrongKind
from ..queues._options import checked_bounds, checked_lease
from ..topics.topic import checked_keep
from . import shm
from .base import BrokerQueue
from .broker_topic import BrokerTopic
from .control import Control
from .group_queue import GroupQueue
from .handle import Options
from .link import Link
from .payload import payload_for
from .port import Connection, Settings
from .registry import SHM, Module, row_of, scheme_of, url_of
from .topic_port import TopicBackend
from .url import KINDS, Url, masked

__all__ = ["connect_anything", "remove_anything"]


def connect_anything(url: str, kind: str | None, create: bool | None, **options: Any) -> Any:
    """See `conveyor.connect`."""
    if scheme_of(url) == SHM:
        name, in_url = shm.parse(url)
        if _kind_of(url, kind, in_url) == "topic":
            _check_topic(url, options)
            return shm.connect_topic(name, create, options["max_bytes"], options["keep"], options["cuda"])
        return shm.connect(name, create, **_of_shm_queue(url, options))
    where = url_of(url)
    kind = _kind_of(url, kind, where.options["kind"])
    row = row_of(where.scheme)
    if kind not in row.kinds:
        others = "redis:// or another broker" if kind == "group" else "shm:// or a broker"
        raise NotSupported(f"{where}: {where.scheme}:// has no {kind}s; use {others} for them")
    module = row.load(where.scheme)
    _check_group(where, kind, module)
    payload = payload_for(options["codec"], options["key"])
    _check_cuda(where, payload.name, options["cuda"])
    if kind == "topic":
        _check_topic(url, options)
        _, size = checked_bounds(0, options["max_bytes"])
        settings = Settings(max_bytes=size, keep=checked_keep(options["keep"]), codec=payload.name)
        return BrokerTopic[Any](Options(where, module.topic, create, settings, payload))
    if options["keep"] is not None:
        raise ValueError(f"keep is {options['keep']}; it is for topics, and {masked(url)!r} is a queue")
    items, size = checked_bounds(options["maxsize"], options["max_bytes"])
    attempts, seconds = checked_lease(options["lease_seconds"], options["max_attempts"])
    settings = Settings(items, size, attempts, seconds, codec=payload.name)
    if kind == "group":
        return GroupQueue[Any](
            Options(where, module.group, create, settings, payload, options["dead_letters"])
        )
    return BrokerQueue[Any](Options(where, module.queue, create, settings, payload, options["dead_letters"]))


def remove_anything(url: str) -> None:
    """See `conveyor.remove`."""
    if scheme_of(url) == SHM:
        shm.remove(shm.parse(url)[0])
        return
    where = url_of(url)
    row = row_of(where.scheme)
    module = row.load(where.scheme)
    kind = where.options["kind"] or "queue"
    _check_group(where, kind, module)
    _remove(where, module, kind)


def _remove(where: Url, module: Module, kind: str) -> None:
    link: Link[Connection] = Link(where, lambda: getattr(module, kind)(where), lambda backend: None)
    # The record of a group is its topic's.
    control = Control(link, "queue" if kind == "queue" else "topic", str(where))
    try:
        groups: Sequence[str] = ()
        try:
            backend = link.open()
            groups = control.read(backend).groups
        except WrongKind:
            if where.options["kind"] is not None or kind == "topic":
                raise
            _remove(where, module, "topic")  # whose URL need not say so
            return
        except (FileNotFoundError, VersionMismatch):
            backend = link.open()  # there is nothing, or what can be removed all the same
        # A group before its name, and the groups before the topic: what is left by a death in between can be removed.
        if isinstance(backend, TopicBackend) and groups:
            backend.destroy_groups(groups)
        backend.destroy()
        if kind == "group":  # or another one of that name would be held back
            with contextlib.suppress(FileNotFoundError, VersionMismatch, WrongKind):
                control.leave_group(where.options["group"])
    finally:
        link.close()


def _kind_of(url: str, kind: str | None, in_url: str | None) -> str:
    if kind is not None and (kind not in KINDS or (in_url or kind) != kind):
        raise ValueError(
            f"kind is {kind!r}; it must be 'queue', 'topic' or 'group', and what the URL says ({masked(url)!r})"
        )
    return kind or in_url or "queue"


def _check_group(where: Url, kind: str, module: Module) -> None:
    named = bool(where.options["group"])
    if named != (kind == "group") and not (named and "group" in module.SHAPE.options):
        raise ValueError(f"url is {str(where)!r}; kind=group and group=NAME go together")


def _check_cuda(where: Url, codec: str, cuda: Cuda | None) -> None:
    if cuda is not None and not (copies_devices(cuda) and codec == "pickle"):
        raise ValueError(
            f"cuda is {cuda!r}, and codec {codec!r}; at {where}, outside this machine's memory, tensors on a GPU go by "
            "cuda='copy' and codec='pickle'"
        )


def _check_topic(url: str, options: dict[str, Any]) -> None:
    for name, unsaid in (
        ("maxsize", 0),
        ("lease_seconds", None),
        ("max_attempts", None),
        ("dead_letters", None),
    ):
        if options[name] is not unsaid and options[name] != unsaid:
            raise ValueError(
                f"{name} is {options[name]!r}; {masked(url)!r} is a topic, which has create, max_bytes, codec, key, "
                "keep and cuda, and no other options"
            )


def _of_shm_queue(url: str, options: dict[str, Any]) -> dict[str, Any]:
    if options.pop("keep") is not None:
        raise ValueError(f"keep is for topics, and {url!r} is a queue")
    if options.pop("key") is not None:
        raise ValueError(f"key is for queues outside this machine's memory, and {url!r} is in it")
    if options["codec"] is None:
        options["codec"] = "auto"
    return options
