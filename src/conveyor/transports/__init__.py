"""Queues and topics by URL: `connect` and `remove`. Which transport a scheme means stands in registry.py."""

# Layer map, highest floor first, as in conveyor/__init__.py.
#
#   connecting
#   broker_topic
#   group_queue
#   base
#   awaiting, retrying
#   broker_subscription, taker
#   finisher
#   settling
#   sending
#   handle, keeper, putter
#   control, reader
#   kafka/, memory, nats/, rabbitmq/, redis/, shm, sqlite/
#   loop_connection, memory_topic, outlet, record, registry, tls
#   loop_thread, memory_store
#   answer, broker_lease, courier, link, topic_port
#   ahead, broker_statistics, key_patterns, moving, ordinary_memory, payload, port, url

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

from .connecting import connect_anything, remove_anything
from .shm import name_in

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    from .. import protocols
    from .._memory.devices import Cuda
    from ..codecs import Codec
    from ..queues.queue import Queue
    from ..topics.topic import Topic

    # No type checker reads URLs. So the annotation of what it is assigned to says what it is: protocols.Queue[str],
    # which is right for all of them, or conveyor.Queue[str]. Without one it is what shm:// leads to.
    Q = TypeVar("Q", bound=protocols.Queue[Any], default=Queue[Any])
    P = TypeVar("P", bound=protocols.Topic[Any], default=Topic[Any])

__all__ = ["connect", "name_in", "remove"]
__dir__ = __all__.copy


@overload
def connect(  # pyright: ignore[reportInvalidTypeVarUse]
    url: str,
    *,
    kind: Literal["topic"],
    create: bool | None = None,
    max_bytes: int | None = None,
    codec: str | Codec | None = None,
    key: bytes | None = None,
    keep: int | None = None,
    cuda: Cuda | None = None,
) -> P: ...  # type: ignore[type-var]
@overload
def connect(  # pyright: ignore[reportInvalidTypeVarUse]
    url: str,
    *,
    kind: Literal["queue", "group"] | None = None,
    create: bool | None = None,
    maxsize: int = 0,
    max_bytes: int | None = None,
    codec: str | Codec | None = None,
    key: bytes | None = None,
    lease_seconds: float | None = None,
    max_attempts: int | None = None,
    dead_letters: Any = None,
    cuda: Cuda | None = None,
) -> Q: ...  # type: ignore[type-var]
def connect(
    url: str,
    *,
    kind: Literal["queue", "topic", "group"] | None = None,
    create: bool | None = None,
    maxsize: int = 0,
    max_bytes: int | None = None,
    codec: str | Codec | None = None,
    key: bytes | None = None,
    lease_seconds: float | None = None,
    max_attempts: int | None = None,
    dead_letters: Any = None,
    keep: int | None = None,
    cuda: Cuda | None = None,
) -> Any:
    """The named queue or topic at `url`: of this machine, in a file, or on a broker. All have the same methods.

    It lives until `remove(url)`, across processes and without any; in shared memory not across a reboot.

    Args:
        url: `shm://name`, in shared memory, for the processes of this user; the name has letters, digits, '.', '_' and
            '-'. `memory://name`, in this process. `sqlite:///jobs.db?queue=jobs`, in a file.
            `amqp://user:password@host/vhost/name`, `redis://user:password@host/0/name` and
            `nats://user:password@host/name`, on a server.
            With `kind=topic` behind '?' it is a topic; with `kind=group&group=NAME` the events of that topic as a
            queue, which those of that group share. docs/transports.md has the rest of what may stand there.
        kind: "queue", "topic" or "group": the same as in the URL, where type checkers see it.
        create: True: make it, it must not exist; False: it must exist; None: make it if need be.
        maxsize: items that may wait, if it is made now; 0: no bound. An existing queue keeps its own.
        max_bytes: bytes of encoded items that may wait, if it is made now; None: no bound.
        codec: how items become bytes. In shared memory as for `Queue`. Elsewhere None is plain data, exactly, and
            nothing that runs code when it is read. All who connect must name the same one.
        key: for `codec="pickle"` over a network or in a file: what items are signed with.
        lease_seconds, max_attempts: as for `Queue`, if it is made now.
        dead_letters: a queue for what failed too often; it concerns this handle only.
        keep: as for `Topic`, if it is made now. A topic has this, `create`, `max_bytes`, `codec`, `key` and `cuda` of
            these.
        cuda: "copy": tensors on a GPU go through host memory, to their device again, as they do with codec="pickle"
            outside this machine's memory; it concerns this handle only.

    Raises:
        FileExistsError, FileNotFoundError: as `create` demands.
        PermissionError: it belongs to another user or another pid namespace; the broker refuses the password.
        BrokerUnreachable: the broker does not answer, within `connect_timeout` of the URL.
        NotSupported: this transport cannot do what is asked for; the text says what to use instead.
        CorruptSegment, VersionMismatch: what lies at that name is no sound queue of this version.
        WrongKind: it is a topic and no queue, or the reverse.
        ValueError: the URL is not one of ours, or an argument is not for this kind.
        ImportError: the transport needs a package that is not installed; the text names the extra.
    """
    return connect_anything(
        url,
        kind,
        create,
        maxsize=maxsize,
        max_bytes=max_bytes,
        codec=codec,
        key=key,
        lease_seconds=lease_seconds,
        max_attempts=max_attempts,
        dead_letters=dead_letters,
        keep=keep,
        cuda=cuda,
    )


def remove(url: str) -> None:
    """Remove the named queue or topic at `url`, with what is in it.

    Of one in shared memory, processes that are attached to it go on with it; its memory is freed when the last one
    leaves. Elsewhere their next call raises FileNotFoundError.

    Raises:
        FileNotFoundError: there is none.
        And what `connect` raises.
    """
    remove_anything(url)
