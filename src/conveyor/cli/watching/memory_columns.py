"""The columns of queues, of topics and of other shared memory."""

from __future__ import annotations

from collections.abc import Callable

from .rows import Held
from .table import Column
from .text import Glyphs, Piece
from .units import count, rate, size, span_text

__all__ = ["other_columns", "queue_columns", "topic_columns"]


def queue_columns(glyphs: Glyphs) -> list[Column[Held]]:
    def share(row: Held) -> float:
        figures = row.view.figures
        bound = figures["max_items"] or figures["peak_depth"]
        by_items = figures["depth"] / bound if bound else 0.0
        by_bytes = figures["bytes_waiting"] / figures["max_bytes"] if figures["max_bytes"] else 0.0
        return min(max(by_items, by_bytes), 1.0)

    def bar(row: Held, width: int) -> Piece:
        found = share(row)
        is_bounded = row.view.figures["max_items"] or row.view.figures["max_bytes"]
        style = ("bad" if found >= 0.95 else "warn" if found >= 0.7 else "good") if is_bounded else "bar"
        return glyphs.bar(found, width), style

    return [
        _title(16, 8),
        _number("DEPTH", 6, "depth", count),
        Column("FULL", 8, bar, share, left=True, grows=4, drawn=True),
        Column(
            "IN/S",
            6,
            lambda row, _: (rate(row.rates.in_rate), "" if row.rates.in_rate else "dim"),
            lambda row: row.rates.in_rate,
        ),
        Column(
            "OUT/S",
            6,
            lambda row, _: (rate(row.rates.out_rate), "" if row.rates.out_rate else "dim"),
            lambda row: row.rates.out_rate,
        ),
        Column("OLDEST", 7, _oldest, lambda row: row.rates.oldest_age or 0.0),
        _waited("P50", lambda row: row.rates.wait_p50),
        _waited("P99", lambda row: row.rates.wait_p99),
        _number("PUT", 3, "producers", count),
        _number("GET", 3, "consumers", count),
        Column(
            "WAITS",
            14,
            lambda row, _: (row.waits, ""),
            lambda row: row.view.waiters[0].seconds if row.view.waiters else 0.0,
            left=True,
            rank=1,
        ),
        _memory(2),
        _number("LENT", 6, "memory_lent", size, rank=3),
        _number("BOUND", 6, "max_items", _bound, rank=4),
        _number("PEAK", 6, "peak_depth", count, rank=5),
        _number("LEASED", 6, "leased", count, rank=6),
        _number("DEAD", 5, "dead", count, rank=7),
        _users(8),
        _place(9),
    ]


def topic_columns() -> list[Column[Held]]:
    def lag(row: Held) -> int:
        return max((each["lag"] for each in row.view.figures["subscribers"] if each["alive"]), default=0)

    def subscribers(row: Held) -> int:
        return sum(each["alive"] for each in row.view.figures["subscribers"])

    def missed(row: Held) -> int:
        return sum(each["missed"] for each in row.view.figures["subscribers"])

    return [
        _title(16, 8),
        _number("EVENTS", 7, "published", count),
        Column("IN/S", 6, lambda row, _: (rate(row.rates.in_rate), ""), lambda row: row.rates.in_rate),
        Column("SUBS", 4, lambda row, _: (str(subscribers(row)), ""), subscribers),
        Column("LAG", 6, lambda row, _: (count(lag(row)), "warn" if lag(row) else "dim"), lag),
        Column("BEHIND", 7, _oldest, lambda row: row.rates.oldest_age or 0.0),
        Column("MISSED", 6, lambda row, _: (count(missed(row)), "bad" if missed(row) else "dim"), missed),
        Column(
            "WAITS",
            14,
            lambda row, _: (row.waits, ""),
            lambda row: row.view.waiters[0].seconds if row.view.waiters else 0.0,
            left=True,
            rank=1,
        ),
        _memory(2),
        _number("LOG", 6, "bytes_kept", size, rank=3),
        _number("OF", 6, "max_bytes", size, rank=4),
        _users(5),
        _place(6),
    ]


def other_columns() -> list[Column[Held]]:
    def length(row: Held) -> str:
        return count(row.view.figures["length"]) if "length" in row.view.figures else ""

    return [
        _title(16, 8),
        Column("KIND", 7, lambda row, _: (row.view.kind or "?", ""), left=True),
        Column("LENGTH", 7, lambda row, _: (length(row), ""), lambda row: row.view.figures.get("length", 0)),
        _memory(0),
        _users(0),
        Column("WAITS", 14, lambda row, _: (row.waits, ""), left=True),
        Column(
            "PLACE",
            16,
            lambda row, _: (row.view.error or row.view.place, "bad" if row.view.error else "dim"),
            left=True,
            rank=1,
            grows=40,
        ),
    ]


def _title(width: int, grows: int) -> Column[Held]:
    return Column(
        "NAME",
        width,
        lambda row, _: (row.view.title, "bad" if row.view.error else "dim" if row.view.ended else "name"),
        lambda row: row.view.title,
        left=True,
        grows=grows,
    )


def _number(title: str, width: int, figure: str, text: Callable[[float], str], rank: int = 0) -> Column[Held]:
    return Column(
        title,
        width,
        lambda row, _: (text(row.view.figures[figure]), "" if row.view.figures[figure] else "dim"),
        lambda row: row.view.figures[figure],
        rank=rank,
    )


def _waited(title: str, seconds: Callable[[Held], float | None]) -> Column[Held]:
    return Column(
        title, 5, lambda row, _: (span_text(seconds(row), row.apart), ""), lambda row: seconds(row) or 0.0
    )


def _memory(rank: int) -> Column[Held]:
    return Column(
        "MEMORY", 6, lambda row, _: (size(row.view.memory), ""), lambda row: row.view.memory, rank=rank
    )


def _users(rank: int) -> Column[Held]:
    return Column(
        "USERS", 5, lambda row, _: (str(len(row.view.users)), ""), lambda row: len(row.view.users), rank=rank
    )


def _place(rank: int) -> Column[Held]:
    return Column("MADE AT", 16, lambda row, _: (row.view.place, "dim"), left=True, rank=rank, grows=40)


def _oldest(row: Held, _: int) -> Piece:
    age = row.rates.oldest_age
    return row.age, "" if age is None or age < 10 else "warn"


def _bound(items: float) -> str:
    return count(items) if items else "none"
