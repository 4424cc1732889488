"""What the user names on the command line, opened: by a URL, or by what people know of what has none."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from ..transports.url import masked
from .exit_codes import CommandError, ExitCode

if TYPE_CHECKING:
    from ..inspection import Reached, SegmentView

__all__ = ["Opened", "find_one", "open_queue", "open_queue_or_topic", "open_topic"]

_QUEUE: Final = "queue"
_TOPIC: Final = "topic"


class Opened:
    """A queue or topic that a verb works with, until `close`.

    Args:
        handle: it.
        name: what the user called it; it may be shown.
        reached: if it has no name: how it was got.
    """

    def __init__(self, handle: Any, name: str, reached: Reached | None = None) -> None:
        self.handle = handle
        self.name = name
        self.reached = reached

    @property
    def is_queue(self) -> bool:
        """Else it is a topic."""
        return hasattr(self.handle, "get_many")

    @property
    def is_orphaned(self) -> bool:
        """Whether it has no name, and all processes that had it have ended: what is in it goes with this command."""
        return self.reached is not None and self.reached.look()

    def is_same(self, other: Opened) -> bool:
        """Whether both are one queue in shared memory."""
        here, there = (getattr(each.handle, "_identity", None) for each in (self, other))
        return here is not None and here == there

    def close(self) -> None:
        """Let go of it; say so if what is in it goes with it."""
        if self.reached is None:
            if hasattr(self.handle, "close"):
                self.handle.close()
            return
        if self.is_orphaned:
            print(
                f"{self.name} has gone: no process has it any more, and what is left in it goes with this command",
                file=sys.stderr,
            )
        self.reached.close()


def open_queue(word: str, instead: str | None, create: bool = False) -> Opened:
    """The queue that `word` names.

    Args:
        word: a URL; or of what is in shared memory a name, a label, the line that made it, an id, or the pid of a
            process that has it.
        instead: what to do with a topic; None: it will do.
        create: whether that of a URL may be made; else it must exist.

    Raises:
        CommandError: it names none, or several, or it cannot be opened, or it is a topic.
    """
    if "://" in word:
        opened = Opened(_connected(word, create), masked(word))
    else:
        opened = _found(word, [_QUEUE] if instead is not None else [_QUEUE, _TOPIC], instead)
    if instead is not None and not opened.is_queue:
        raise CommandError(f"{opened.name} is a topic; {instead}")
    return opened


def open_queue_or_topic(word: str, create: bool = False) -> Opened:
    """What `word` names, whichever it is; see `open_queue`."""
    from .. import WrongKind, connect

    try:
        return open_queue(word, None, create)
    except CommandError as error:
        if not isinstance(error.__context__, WrongKind):
            raise
        try:
            return Opened(connect(word, kind=_TOPIC, create=False), masked(word))
        except (OSError, ValueError):
            raise error from None


def open_topic(word: str) -> Opened:
    """The topic that `word` names; see `open_queue`."""
    from .. import NotSupported, WrongKind, connect

    if "://" not in word:
        return _found(word, [_TOPIC], "conveyor get and peek are for queues")
    try:
        return Opened(connect(word, kind=_TOPIC, create=False), masked(word))
    except FileNotFoundError:
        raise CommandError(f"there is no topic at {masked(word)}", ExitCode.UNREACHABLE) from None
    except (ValueError, WrongKind, NotSupported, ImportError) as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        raise CommandError(f"{masked(word)}: {error}", ExitCode.UNREACHABLE) from None


def _connected(url: str, create: bool) -> Any:
    from .. import NotSupported, connect

    try:
        return connect(url, create=None if create else False)
    except (ValueError, NotSupported, ImportError) as error:  # the text names the extra that is missing
        raise CommandError(str(error)) from None
    except FileNotFoundError:
        raise CommandError(f"there is no queue at {masked(url)}", ExitCode.UNREACHABLE) from None
    except OSError as error:  # another user's, or damaged
        raise CommandError(f"{masked(url)}: {error}", ExitCode.UNREACHABLE) from None


def find_one(word: str, kinds: Sequence[str], instead: str | None) -> SegmentView:
    """What is seen in shared memory of the one thing that `word` names.

    Args:
        word: a name, a label, the line that made it, an id, or the pid of a process that has it.
        kinds: what will do, as in `SegmentView.kind`.
        instead: what to do with what is of another kind.

    Raises:
        CommandError: there is none, or there are several, which are listed.
    """
    from ..inspection.survey import survey

    found = survey().find(word)
    if not found:
        raise CommandError(
            f"nothing here has the name, label, place or id {word!r}, and no process of that number uses conveyor; "
            "a URL looks like shm://jobs, and conveyor ls lists what there is",
            ExitCode.UNREACHABLE,
        )
    meant = [view for view in found if view.kind in kinds]
    if not meant:
        view = found[0]
        if view.error:
            raise CommandError(f"{word}: {view.error}", ExitCode.UNREACHABLE)
        wanted = " or ".join(kinds)
        told = (
            f"{word} is a {view.kind}"
            if len(found) == 1
            else f"{word} means {len(found)} things, but no {wanted}"
        )
        raise CommandError(f"{told}; {instead or f'a {wanted} is needed'}")
    if len(meant) > 1:
        lines = [
            f"  {each.id}  {each.kind}  {each.title}  made at {each.place or '?'}  users {_pids(each)}"
            for each in meant
        ]
        raise CommandError("\n".join([f"{word} means {len(meant)} things; name one by its id:", *lines]))
    return meant[0]


def _pids(view: SegmentView) -> str:
    return " ".join(map(str, view.users))


def _found(word: str, kinds: Sequence[str], instead: str | None) -> Opened:
    from .. import ConveyorError, NotSupported
    from ..inspection.reached import Reached

    view = find_one(word, kinds, instead)
    if view.url is not None:
        if view.kind == _TOPIC:
            return open_topic(view.url)
        return Opened(_connected(view.url, False), view.url)
    try:
        reached = Reached(view)
    except NotSupported as error:
        raise CommandError(str(error)) from None
    except (ConveyorError, OSError) as error:  # gone meanwhile, refused, or damaged
        raise CommandError(str(error), ExitCode.UNREACHABLE) from None
    return Opened(reached.handle, word, reached)
