"""`conveyor move FROM TO` and `conveyor retry URL`: items from queue to queue, what failed back to its own."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Annotated, Any

from cyclopts import Parameter

from ..transports.moving import Moved, move_items
from ..transports.url import masked
from .confirm import confirm, counted
from .exit_codes import CommandError, ExitCode
from .move_options import MoveOptions
from .moving import Choice, would_move
from .opening import Opened, open_queue

__all__ = ["move", "retry"]


def move(
    source: str,
    target: str,
    /,
    *,
    count: Annotated[int | None, Parameter(name=["-n", "--count"])] = None,
    match: str | None = None,
    error: str | None = None,
    timeout: float | None = None,
    force: Annotated[bool, Parameter(name=["--force", "-f"], negative="")] = False,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Move what waits in a queue into another one, anywhere. Asks first, naming the number of items.

    Each is leased, put, and then acknowledged: if this is killed it may be in both, never in none. What is put
    while it runs stays, as does what does not match, without an attempt counted.

    Args:
        source: The queue that they are in, as in shm://jobs; or a label, place, id or pid, as conveyor ls has it.
        target: The queue that they go to, which must be there.
        count: How many at most.
        match: Only items with this text in them; of those that are not text, in their JSON.
        error: Only dead letters with this text in their error.
        timeout: Seconds to wait for room. Without it, for ever.
        force: Do not ask.
        dry_run: Only say how many would be moved.
        as_json: Print one JSON object that says how many were moved.
    """
    options = MoveOptions(
        verb="move",
        done="moved",
        choice=Choice(match, error),
        count=count,
        timeout=timeout,
        force=force,
        dry_run=dry_run,
        as_json=as_json,
    )
    return _carry(source, target, options, _itself)


def retry(
    url: str,
    /,
    *,
    letters: Annotated[str | None, Parameter(name="--from")] = None,
    count: Annotated[int | None, Parameter(name=["-n", "--count"])] = None,
    match: str | None = None,
    error: str | None = None,
    timeout: float | None = None,
    force: Annotated[bool, Parameter(name=["--force", "-f"], negative="")] = False,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Put what failed too often back into its queue. Asks first, naming the number of items.

    Without --from what the broker has set aside, as the program gave no dead_letters=; byte for byte, behind what
    waits, with no attempt counted. With it as conveyor move, but that what is put is the item in the letter; an item
    that could not be read stays.

    Args:
        url: The queue that they came from, as in redis://localhost/0/jobs; or a label, place, id or pid, as conveyor ls
            has it.
        letters: The queue of its dead letters: what the program gave as dead_letters=.
        count: How many at most.
        match: Only letters whose item has this text in it, or in its JSON.
        error: Only letters with this text in their error.
        timeout: Seconds to wait for room. Without it, for ever.
        force: Do not ask.
        dry_run: Only say how many would be put back.
        as_json: Print one JSON object that says how many were put back.
    """
    options = MoveOptions(
        verb="retry",
        done="retried",
        choice=Choice(match, error, letters_only=letters is not None),
        count=count,
        timeout=timeout,
        force=force,
        dry_run=dry_run,
        as_json=as_json,
    )
    return _retry_aside(url, options) if letters is None else _carry(letters, url, options, _of_letter)


_INSTEAD = "items come from queues, and go to queues"


def _retry_aside(url: str, options: MoveOptions) -> int:
    """Put back what the broker has set aside of the queue at a URL."""
    from .. import BrokerUnreachable, NotSupported

    opened = open_queue(url, _INSTEAD)
    queue = opened.handle
    try:
        dead: int = queue.statistics().dead or 0
        if not hasattr(queue, "retry_dead"):
            aside = (
                f" {counted(dead, 'item')} of it are set aside in the queue itself, out of reach."
                if dead
                else ""
            )
            raise CommandError(
                f"where the dead letters of {opened.name} go is known to the programs that use it (dead_letters=), and "
                f"not to the queue; name that queue with --from.{aside}"
            )
        where = f"that {opened.name} has set aside"
        if not dead:
            print(
                f"nothing is set aside of {opened.name}; if its programs give dead_letters=, name that queue with "
                "--from",
                file=sys.stderr,
            )
            return _told(Moved(), opened.name, opened.name, options)
        choice = options.choice
        chosen = None if choice.takes_all() else choice
        if options.dry_run or not options.force:
            found = dead if chosen is None else sum(map(chosen, queue.peek_dead(dead)))
            would = Moved(min(found, options.most), dead - found)
            if options.dry_run:
                print(f"would retry {counted(would.moved, 'item')} {where}", file=sys.stderr)
                return _told(would, opened.name, opened.name, options)
            confirm("retry", "retried", f"{counted(would.moved, 'item')} {where}", options.force)
        kept = 0

        def is_meant(letter: Any) -> bool:
            nonlocal kept
            meant = choice(letter)
            kept += not meant
            return meant

        retried = queue.retry_dead(chosen and is_meant, options.count, options.timeout)
    except CommandError:
        raise
    except (BrokerUnreachable, NotSupported) as error:
        code = ExitCode.UNREACHABLE if isinstance(error, BrokerUnreachable) else ExitCode.USAGE
        raise CommandError(str(error), code) from None
    except Exception as error:
        error.items_moved = getattr(error, "items_retried", 0)  # type: ignore[attr-defined]
        raise _meaning(error, f"that {opened.name} had set aside", "retried", opened) from None
    finally:
        opened.close()
    print(f"retried {counted(retried, 'item')} {where}", file=sys.stderr)
    return _told(Moved(retried, kept), opened.name, opened.name, options)


def _itself(item: Any) -> Any:
    return item


def _of_letter(letter: Any) -> Any:
    return letter.item


def _carry(source_url: str, target_url: str, options: MoveOptions, unwrapped: Callable[[Any], Any]) -> int:
    if source_url == target_url:
        raise CommandError(f"both queues are {masked(source_url)}; two are needed")
    source, target = open_queue(source_url, _INSTEAD), open_queue(target_url, _INSTEAD)
    if source.is_same(target):
        raise CommandError(f"{source.name} and {target.name} are the same queue; two are needed")
    if not options.choice.takes_all() and getattr(source.handle, "counts_deliveries", False):
        # An attempt of each that stays would be counted, and some would be given up for it.
        raise CommandError(
            f"{source.name} counts each delivery as an attempt, so that items cannot be looked through there; "
            "move all of them to a queue of shm:// or sqlite://, and choose from that"
        )
    from .. import BrokerUnreachable, NotSupported

    where = f"from {source.name} to {target.name}"
    try:
        if options.dry_run:
            result = would_move(source.handle, options.choice, options.most)
            print(f"would {options.verb} {counted(result.moved, 'item')} {where}", file=sys.stderr)
            return _told(result, source.name, target.name, options)
        if not options.force:
            would = would_move(source.handle, options.choice, options.most)
            confirm(options.verb, options.done, f"{counted(would.moved, 'item')} {where}", force=False)
        result = move_items(
            source.handle, target.handle, options.most, options.timeout, options.choice, unwrapped
        )
    except CommandError:
        raise
    except (BrokerUnreachable, NotSupported) as error:
        code = ExitCode.UNREACHABLE if isinstance(error, BrokerUnreachable) else ExitCode.USAGE
        raise CommandError(str(error), code) from None
    except Exception as error:
        raise _meaning(error, where, options.done, target) from None
    finally:
        source.close()
        target.close()
    print(f"{options.done} {counted(result.moved, 'item')} {where}", file=sys.stderr)
    return _told(result, source.name, target.name, options)


def _told(result: Moved, source: str, target: str, options: MoveOptions) -> int:
    if options.as_json:
        told = {"from": source, "to": target, options.done: result.moved, "kept": result.kept}
        print(json.dumps(told))
    return ExitCode.OK


def _meaning(error: Exception, where: str, done: str, target: Opened) -> Exception:
    from .. import BadMessage, Full, ShutDown

    so_far = f"{done} {counted(getattr(error, 'items_moved', 0), 'item')} {where}"
    if isinstance(error, Full):
        return CommandError(f"{so_far}, and there is no room for more", ExitCode.TIMEOUT)
    if isinstance(error, ShutDown) and target.is_orphaned:
        return CommandError(f"{so_far}, which nobody has any more", ExitCode.UNREACHABLE)
    if isinstance(error, ShutDown):
        return CommandError(f"{so_far}, which is shut down and takes no more", ExitCode.REFUSED)
    if isinstance(
        error, (BadMessage, TypeError, ValueError)
    ):  # what one codec cannot read, or the other not take
        return CommandError(f"{so_far}; {error}", ExitCode.WORK_FAILED)
    if isinstance(error, OSError):
        return CommandError(f"{so_far}; {error}", ExitCode.UNREACHABLE)
    return error
