"""`conveyor tail URL`: follows a topic."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from .exit_codes import CommandError, ExitCode
from .item_lines import ItemLines
from .opening import open_topic

__all__ = ["tail"]


def tail(
    url: str,
    /,
    *,
    key: tuple[str, ...] = (),
    from_: Annotated[str, Parameter(name="--from")] = "new",
    count: Annotated[int | None, Parameter(name=["-n", "--count"])] = None,
    timeout: float | None = None,
    jsonl: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Follow a topic: write each event as a line, until the topic ends or Ctrl-C.

    Args:
        url: The topic, as in nats://localhost/events; or a label, place, id or pid, as conveyor ls has it.
        key: Only events with such a key, as in sensor.*.temperature or sensor.#. May be given several times.
        from_: Where to begin: new, oldest, or the number of an event.
        count: Stop after so many events.
        timeout: Stop, with exit code 4, when none comes within so many seconds.
        jsonl: Write each as JSON; else text and bytes as they are, and all others as JSON.
    """
    from .. import BrokerUnreachable, Empty, Lagged, NotSupported, ProducerLost, ShutDown

    found = open_topic(url)
    lines = ItemLines(jsonl)
    left = count
    try:
        # What it writes to may be slow: publishers do not wait for it.
        with found.handle.subscribe(
            list(key) or None, int(from_) if from_.isdigit() else from_, when_slow="fail"
        ) as read:
            while left is None or left > 0:
                events = read.get_many(100 if left is None else min(left, 100), timeout=timeout)
                lines.write(events)
                if left is not None:
                    left -= len(events)
    except Empty:
        raise CommandError(f"no event of {found.name} in {timeout:g} s", ExitCode.TIMEOUT) from None
    except ShutDown:
        pass
    except (ValueError, NotSupported) as error:
        raise CommandError(str(error)) from None
    except (Lagged, ProducerLost) as error:
        raise CommandError(str(error), ExitCode.WORK_FAILED) from None
    except BrokerUnreachable as error:
        raise CommandError(str(error), ExitCode.UNREACHABLE) from None
    finally:
        found.close()
    return ExitCode.OK
