"""What there is to say about one queue, topic or process."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime

from ...inspection.pipeline_view import PipelineView
from ...inspection.queue_history import QueueHistory
from ...inspection.size import size_text
from ...inspection.snapshot import Snapshot
from .rows import Held, Member, Pool, Row, Step, Worker
from .text import Glyphs, Line
from .units import duration, rate, span_text

__all__ = ["detail_lines"]

_TITLE = 14  # cells


def detail_lines(
    row: Row, snapshot: Snapshot, history: QueueHistory | None, glyphs: Glyphs, width: int
) -> list[Line]:
    """The lines of a page.

    Args:
        row: what it is about.
        snapshot: what was seen.
        history: of a queue or topic; None: nothing is remembered.
        glyphs: what is drawn with.
        width: of the page, in cells.
    """
    if isinstance(row, Held):
        return list(_of_memory(row, snapshot, history, glyphs, width))
    if isinstance(row, Member):
        return list(_of_process(row, snapshot))
    return list(_of_run(row.pipeline)) if isinstance(row, Step | Worker | Pool) else []


def _line(title: str, text: str, style: str = "") -> Line:
    return [(f"{title:<{_TITLE}}", "dim"), (text, style)]


def _of_memory(
    row: Held, snapshot: Snapshot, history: QueueHistory | None, glyphs: Glyphs, width: int
) -> Iterator[Line]:
    view, figures = row.view, row.view.figures
    yield [
        (view.title, "name"),
        (f"  {view.kind or 'unreadable'}", "bold"),
        ("  ended" if view.ended else "", "warn"),
    ]
    yield []
    if view.error:
        yield _line("error", view.error, "bad")
    if view.url:
        yield _line("url", view.url)
    yield _line("id", view.id)
    if view.place or view.maker:
        made = ""
        if view.made:
            when = datetime.fromtimestamp(view.made).astimezone().isoformat(" ", "seconds")
            made = f", {when}, {duration(max(time.time() - view.made, 0))} ago"
        yield _line("made", f"at {view.place or '?'} by {_process(view.maker, snapshot)}{made}")
    if view.kind == "queue":
        yield from _of_queue(row)
    elif view.kind == "topic":
        yield from _of_topic(row, snapshot)
    else:
        for name, value in figures.items():
            yield _line(name.replace("_", " "), f"{value:,}" if isinstance(value, int) else str(value))
    yield _line("memory", size_text(view.memory))
    if history is not None:
        yield from _charts(history, glyphs, width)
    if view.waiters:
        yield []
        yield [("waiting", "bold")]
        for waiter in view.waiters:
            who = _process(waiter.pid, snapshot)
            yield _line(f"  {waiter.what}", f"{duration(waiter.seconds):>6}  thread {waiter.thread} of {who}")
    roles = {"producers": "producer_pids", "consumers": "consumer_pids"} if view.kind == "queue" else {}
    named: set[int] = set()
    for title, name in roles.items():
        yield []
        yield [(title, "bold")]
        for pid in figures[name]:
            named.add(pid)
            yield [("  " + _process(pid, snapshot), "")]
    if others := [pid for pid in view.users if pid not in named]:
        yield []
        yield [("others that have it" if roles else "who has it", "bold")]
        for pid in others:
            yield [("  " + _process(pid, snapshot), "")]


def _of_queue(row: Held) -> Iterator[Line]:
    figures, rates = row.view.figures, row.rates
    bounds = [f"{figures['max_items']:,} items"] if figures["max_items"] else []
    bounds += [size_text(figures["max_bytes"])] if figures["max_bytes"] else []
    bound = f"of {' and '.join(bounds)}" if bounds else "no bound"
    yield _line(
        "waiting",
        f"{figures['depth']:,} items, {size_text(figures['bytes_waiting'])}; {bound}; peak {figures['peak_depth']:,}",
    )
    yield _line("oldest", row.age or "nothing waits")
    yield _line(
        "in", f"{figures['items_in']:,} items, {size_text(figures['bytes_in'])}; {rate(rates.in_rate)} /s"
    )
    yield _line(
        "out", f"{figures['items_out']:,} items, {size_text(figures['bytes_out'])}; {rate(rates.out_rate)} /s"
    )
    if rates.wait_p50 is not None and rates.wait_p99 is not None:
        half, most = (span_text(each, row.apart) for each in (rates.wait_p50, rates.wait_p99))
        yield _line("waited", f"half of them {half} at most, 99 of 100 {most}")
    for side, name in (("put", "for room"), ("get", "for an item")):
        seconds = duration(figures[f"{side}_blocked_seconds"])
        yield _line(f"{side} slept", f"{figures[f'{side}_waits']:,} times {name}, {seconds} in all")
    if figures["leased"] or figures["redelivered"] or figures["dead"]:
        yield _line(
            "leases",
            f"{figures['leased']:,} leased, {figures['returned']:,} came back and wait, "
            f"{figures['redelivered']:,} redeliveries, {figures['dead']:,} dead",
        )
    yield _line("lent", f"{size_text(figures['memory_lent'])} in arrays that were received")


def _of_topic(row: Held, snapshot: Snapshot) -> Iterator[Line]:
    figures = row.view.figures
    yield _line(
        "published",
        f"{figures['published']:,} events, {size_text(figures['bytes_published'])}; {rate(row.rates.in_rate)} /s",
    )
    yield _line("log", f"{size_text(figures['bytes_kept'])} of {size_text(figures['max_bytes'])}")
    yield _line("slept", f"publishers slept {figures['publish_waits']:,} times for room")
    for each in figures["subscribers"]:
        state = "" if each["alive"] else ", dead"
        yield _line(
            "subscriber",
            f"lag {each['lag']:,}, missed {each['missed']:,}, received {each['received']:,} "
            f"({each['when_slow']}{state}), {_process(each['pid'], snapshot)}",
        )


def _charts(history: QueueHistory, glyphs: Glyphs, width: int) -> Iterator[Line]:
    series = history.series()[-max(width - _TITLE - 12, 10) :]
    if len(series) < 2:
        return
    yield []
    for title, column in (("depth", 1), ("in/s", 2), ("out/s", 3)):
        values = [float(each[column]) for each in series]
        yield [
            (f"{title:<{_TITLE}}", "dim"),
            (glyphs.chart(values), "bar"),
            (f"  max {rate(max(values))}", "dim"),
        ]


def _of_process(row: Member, snapshot: Snapshot) -> Iterator[Line]:
    view = row.view
    yield [(f"process {view.pid}", "name"), (f"  {view.command}", "")]
    yield []
    yield _line(
        "state",
        f"{view.state}, {view.threads} thread{'' if view.threads == 1 else 's'}, child of {view.parent}",
    )
    yield _line(
        "processor",
        f"{duration(view.cpu_seconds)} in all" + ("" if row.cpu is None else f", {row.cpu:.1%} now"),
    )
    yield _line("memory", f"{size_text(view.rss)} resident")
    waiting = [
        (waiter, segment)
        for segment in snapshot.survey.segments
        for waiter in segment.waiters
        if waiter.pid == view.pid
    ]
    if waiting:
        yield []
        yield [("waiting", "bold")]
        for waiter, segment in waiting:
            yield _line(
                f"  {waiter.what}", f"{duration(waiter.seconds):>6}  thread {waiter.thread}, {segment.title}"
            )
    yield []
    yield [("has", "bold")]
    for segment in snapshot.survey.segments:
        if view.pid in segment.users:
            figures = segment.figures
            roles = [
                role
                for role, name in (("puts", "producer_pids"), ("gets", "consumer_pids"))
                if view.pid in figures.get(name, ())
            ]
            yield _line(f"  {segment.kind}", f"{segment.title}  {' and '.join(roles)}")


def _of_run(view: PipelineView) -> Iterator[Line]:
    yield [(view.name or f"{view.kind} of {view.pid}", "name"), (f"  {view.phase}", "bold")]
    yield []
    if view.error:
        yield _line("error", view.error, "bad")
        return
    of = "" if view.total is None else f" of {view.total:,}"
    left = "" if view.left is None else f", {duration(view.left)} left"
    yield _line("made", f"at {view.place or '?'}, run by {view.pid} for {duration(view.seconds)}{left}")
    yield _line("items", f"{view.taken:,}{of} taken, {view.in_flight:,} in flight, {view.results:,} results")
    yield _line("failures", f"{view.failures:,} failed, {view.retries:,} retries, {view.dead:,} dead letters")
    for stage in view.stages:
        if stage.bottleneck:
            yield _line(
                "bottleneck", f"{stage.name}: its workers are busy {stage.load:.0%} of the time", "bad"
            )
    for group in view.failure_groups:
        yield []
        yield [(f"{group.count:,} x {group.kind}", "bad"), (f" in {group.stage}, last with {group.item}", "")]
        yield _line("  message", group.message.replace("\n", " "))
        if group.where:
            yield _line("  at", group.where)


def _process(pid: int, snapshot: Snapshot) -> str:
    found = snapshot.survey.processes.get(pid)
    return f"{pid} {found.command}" if found is not None else f"{pid}"
