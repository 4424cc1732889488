"""Which transport a URL's scheme means: a row for each; its module is imported when its scheme is used.

To add a transport: a row here, and a module beside this one with

    SHAPE: Shape                                            # how its URLs look, and what may stand behind '?'
    def queue(url: Url) -> Backend: ...                     # if the row's kinds have "queue"; not connected yet
    def topic(url: Url) -> TopicBackend: ...                # if they have "topic"
    def group(url: Url) -> Backend: ...                     # if they have "group"
"""

from __future__ import annotations

import copyreg
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, cast

from .port import Backend
from .topic_port import TopicBackend
from .url import Shape, Url, masked, parse

__all__ = ["ROWS", "Module", "Row", "row_of", "scheme_of", "url_of"]


@dataclass(frozen=True, slots=True)
class Row:
    """A transport."""

    module: str
    """Of this package."""
    kinds: tuple[str, ...]
    """What it has: "queue", "topic", "group"."""
    client: str | None = None
    """The package that it needs, as it is imported."""
    extra: str | None = None
    """The extra of conveyor that brings it."""

    def load(self, scheme: str) -> Module:
        """The transport's module.

        Raises:
            ImportError: its client is not installed; the text names the extra.
        """
        try:
            return cast(Module, import_module(f".{self.module}", __package__))
        except ModuleNotFoundError as error:
            # Only if the client itself is not there: one that is there and fails has its own story to tell.
            if self.client is None or error.name != self.client:
                raise
            raise ImportError(
                f"{scheme}:// needs the package {self.client}: pip install 'conveyor[{self.extra}]'",
                name=self.client,
            ) from error


class Module(Protocol):
    """What a transport's module has."""

    SHAPE: Shape

    def queue(self, url: Url) -> Backend:
        """The queue at `url`, not connected yet."""
        ...

    def topic(self, url: Url) -> TopicBackend:
        """The topic at `url`, not connected yet."""
        ...

    def group(self, url: Url) -> Backend:
        """What the group `url.options["group"]` gets of the topic at `url`, not connected yet."""
        ...


_ALL = ("queue", "topic", "group")
_RABBITMQ = Row("rabbitmq", _ALL, "pika", "rabbitmq")
_REDIS = Row("redis", _ALL, "redis", "redis")
_NATS = Row("nats", _ALL, "nats", "nats")
_KAFKA = Row("kafka", _ALL, "confluent_kafka", "kafka")

# Shared memory has no module of this kind: its queues and topics are conveyor.Queue and conveyor.Topic themselves.
SHM = "shm"
ROWS: dict[str, Row] = {
    "memory": Row("memory", _ALL),
    "sqlite": Row("sqlite", ("queue",)),
    "amqp": _RABBITMQ,
    "amqps": _RABBITMQ,
    "redis": _REDIS,
    "rediss": _REDIS,
    "nats": _NATS,
    "tls": _NATS,
    "kafka": _KAFKA,
    "kafka+ssl": _KAFKA,
}


def scheme_of(url: str) -> str:
    """The scheme of `url`, which is one that there is a transport for.

    Raises:
        ValueError: it is not; the text names those that are.
    """
    scheme = url.partition(":")[0].lower() if ":" in url else ""
    if scheme != SHM and scheme not in ROWS:
        raise ValueError(
            f"url is {masked(url)!r}; its scheme must be one of {', '.join(f'{known}://' for known in (SHM, *ROWS))}, "
            f"as in 'shm://name' (got {scheme[:50] or 'none'!r})"
        )
    return scheme


def row_of(scheme: str) -> Row:
    """The row of a scheme that `scheme_of` has found."""
    return ROWS[scheme]


def url_of(text: str) -> Url:
    """The parts of a URL that is not shm://.

    Raises:
        ValueError: it is none; the text shows no secret.
        ImportError: its transport needs a package that is not installed.
    """
    scheme = scheme_of(text)
    return parse(text, ROWS[scheme].load(scheme).SHAPE)


def _as_text(url: Url) -> tuple[Callable[[str], Url], tuple[str]]:
    return url_of, (url.text,)


# A URL travels as its text; only here is known what shape its scheme gives it.
copyreg.pickle(Url, _as_text)
