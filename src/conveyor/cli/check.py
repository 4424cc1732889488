"""`conveyor check NAME`: a plugin for Nagios, Icinga and their kin: one line with figures, and an exit code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from .exit_codes import CheckCode, CommandError
from .option import Option

__all__ = ["USAGE", "check"]

USAGE = """conveyor check [OPTIONS] NAME

Examples:
  conveyor check --depth 1000,10000 --consumers 2,1 shm://jobs
  conveyor check --depth 500 --dead 1,100 redis://localhost/0/jobs
  conveyor check --age 60,600 nats://localhost/jobs
  conveyor check --put-wait 5,60 frames                a label, as conveyor ls has it

Exit codes, as those programs have them: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.
"""


@dataclass(frozen=True, slots=True)
class _Limit:
    """From where on a figure is bad."""

    warning: float
    critical: float | None
    least: bool
    """It is bad below them; else from them on."""

    def judge(self, value: float) -> CheckCode:
        for bound, code in ((self.critical, CheckCode.CRITICAL), (self.warning, CheckCode.WARNING)):
            if bound is not None and (value < bound if self.least else value >= bound):
                return code
        return CheckCode.OK

    @classmethod
    def of(cls, option: str, text: str, least: bool) -> _Limit:
        """What `WARNING[,CRITICAL]` says.

        Raises:
            CommandError: it says nothing.
        """
        try:
            numbers = [float(part) for part in text.split(",")]
        except ValueError:
            numbers = []
        ordered = len(numbers) < 2 or (numbers[1] <= numbers[0] if least else numbers[1] >= numbers[0])
        if not 1 <= len(numbers) <= 2 or not ordered or not all(number >= 0 for number in numbers):
            order = "the second not above the first" if least else "the second not below the first"
            raise CommandError(f"{option} is {text!r}; it must be WARNING or WARNING,CRITICAL, {order}")
        return cls(numbers[0], numbers[1] if len(numbers) > 1 else None, least)


def check(
    name: str,
    /,
    *,
    depth: Annotated[str | None, Option(("--depth",))] = None,
    dead: Annotated[str | None, Option(("--dead",))] = None,
    consumers: Annotated[str | None, Option(("--consumers",))] = None,
    producers: Annotated[str | None, Option(("--producers",))] = None,
    put_wait: Annotated[str | None, Option(("--put-wait",))] = None,
    age: Annotated[str | None, Option(("--age",))] = None,
) -> int:
    """Judge a queue, for a monitoring system: a line, performance data, and its exit codes.

    Each limit is WARNING or WARNING,CRITICAL. Without any it only looks whether the queue is there. Figures that the
    queue's broker does not tell are UNKNOWN.

    Args:
        name: The queue, as in shm://jobs or redis://localhost/0/jobs; or a label, place or id, as conveyor ls has it.
        depth: Items that wait: bad from so many on.
        dead: Items that failed for good: bad from so many on.
        consumers: Processes that take: bad below so many.
        producers: Processes that put: bad below so many.
        put_wait: Seconds that a put has waited for room: bad from so many on. In shared memory.
        age: Seconds that the oldest item has waited: bad from so many on. On NATS and Kafka; elsewhere items carry no
            time, so that it is known only when nothing waits: 0.
    """
    limits: dict[str, _Limit] = {}
    try:
        for figure, text, least in (
            ("depth", depth, False),
            ("dead", dead, False),
            ("consumers", consumers, True),
            ("producers", producers, True),
            ("put_wait", put_wait, False),
            ("age", age, False),
        ):
            if text is not None:
                limits[figure] = _Limit.of(f"--{figure.replace('_', '-')}", text, least)
        figures, reasons = _figures(name, "age" in limits)
    except CommandError as error:
        return _say(CheckCode.UNKNOWN, str(error))
    code, remarks = CheckCode.OK, list[str]()
    for figure, limit in limits.items():
        value = figures.get(figure)
        judged = CheckCode.UNKNOWN if value is None else limit.judge(value)
        if judged is CheckCode.UNKNOWN:
            remarks.append(reasons.get(figure) or f"{figure} is not told here")
        elif judged is not CheckCode.OK:
            bound = limit.critical if judged is CheckCode.CRITICAL else limit.warning
            remarks.append(f"{figure} {value:g} is {'below' if limit.least else 'at or above'} {bound:g}")
        code = max(code, judged, key=_SEVERITY.index)
    told = ", ".join(f"{value:g} {_WORDS[figure]}" for figure, value in figures.items() if value is not None)
    return _say(
        code, "; ".join([*remarks, told or "it is there"]), name, " ".join(_performance(figures, limits))
    )


_SEVERITY = (CheckCode.OK, CheckCode.UNKNOWN, CheckCode.WARNING, CheckCode.CRITICAL)
_WORDS = {
    "depth": "waiting",
    "dead": "dead",
    "consumers": "consumers",
    "producers": "producers",
    "put_wait": "s a put waits",
    "age": "s the oldest waits",
}
_SECONDS = ("put_wait", "age")


def _say(code: CheckCode, text: str, name: str = "", performance: str = "") -> int:
    line = f"CONVEYOR {code.name} - {f'{name}: ' if name else ''}{text}".replace("|", "/").replace("\n", " ")
    print(f"{line} | {performance}" if performance else line)
    return code


def _performance(figures: Mapping[str, float | None], limits: Mapping[str, _Limit]) -> Iterator[str]:
    """`label=value;warn;crit;min`, as https://nagios-plugins.org/doc/guidelines.html#AEN200 has it."""
    for figure, value in figures.items():
        if value is None:
            continue
        limit = limits.get(figure)
        bounds = ["", ""]
        if limit is not None:
            mark = ":" if limit.least else ""
            bounds = [
                "" if bound is None else f"{bound:g}{mark}" for bound in (limit.warning, limit.critical)
            ]
        yield f"{figure}={value:g}{'s' if figure in _SECONDS else ''};{bounds[0]};{bounds[1]};0"


_UNTIMED = (
    "age is not known: items in shared memory carry no time; conveyor top and conveyor dash tell it of what was put "
    "while they look"
)


def _figures(name: str, with_age: bool) -> tuple[dict[str, float | None], dict[str, str]]:
    """What there is to judge, None for what is not told; and why it is not, where there is more to say."""
    if "://" in name and not name.startswith("shm://"):
        from .opening import open_queue

        queue = open_queue(name, "only queues can be judged")
        from .. import NotSupported

        figures: dict[str, float | None] = {}
        reasons: dict[str, str] = {}
        try:
            told: Any = queue.handle.statistics()
            figures = {figure: getattr(told, figure, None) for figure in _WORDS}
            if with_age:
                figures["age"] = queue.handle.oldest_age()
        except NotSupported as error:
            reasons["age"] = f"age is not known: {error}"
        except OSError as error:
            raise CommandError(str(error)) from None
        finally:
            queue.close()
        return figures, reasons
    from ..inspection.survey import survey

    found = survey().find(name)
    if len(found) != 1:
        several = f"{len(found)} things here are called {name}" if found else f"there is no {name} here"
        raise CommandError(f"{several}; see conveyor ls")
    [view] = found
    if view.kind != "queue":
        raise CommandError(view.error or f"{name} is a {view.kind}; only queues can be judged")
    waits = [waiter.seconds for waiter in view.waiters if waiter.what == "room"]
    counts = view.figures
    seen: dict[str, float | None] = {
        **{figure: counts[figure] for figure in ("depth", "dead", "consumers", "producers")},
        "put_wait": max(waits, default=0.0),
    }
    if with_age:
        seen["age"] = None if seen["depth"] else 0.0
    return seen, {"age": _UNTIMED}
