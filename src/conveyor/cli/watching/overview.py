"""Overview: all sections under each other, of which a part is on the screen, and a cursor that moves through them."""

from __future__ import annotations

from collections.abc import Sequence

from ...inspection.snapshot import Snapshot
from .rows import Row
from .sections import Section, sections
from .table import Table
from .text import Glyphs, Line, clipped
from .units import rate, size

__all__ = ["Overview", "plain_lines", "summary"]

# A line of the screen: its pieces, and the style under them.
Drawn = tuple[Line, str]


def summary(snapshot: Snapshot) -> str:
    """What there is, in a line."""
    queues, topics, others = snapshot.queues, snapshot.topics, snapshot.others
    waiting = sum(each.figures["depth"] for each in queues)
    flow = sum(snapshot.rates[each.id].out_rate for each in queues)
    memory = sum(each.memory for each in snapshot.survey.segments)
    parts = [_plural(len(queues), "queue"), f"{waiting:,} waiting", f"{rate(flow)} out/s"]
    if topics:
        parts.append(_plural(len(topics), "topic"))
    if others:
        parts.append(f"{len(others)} other")
    if snapshot.pipelines:
        parts.append(_plural(len(snapshot.pipelines), "pipeline"))
    if snapshot.executors:
        parts.append(_plural(len(snapshot.executors), "executor"))
    return ", ".join([*parts, _plural(len(snapshot.processes), "process", "es"), f"{size(memory)} held"])


def plain_lines(
    snapshot: Snapshot, glyphs: Glyphs, words: Sequence[str], most: int | None, width: int | None
) -> list[Drawn]:
    """Everything at once.

    Args:
        snapshot: what was seen.
        glyphs: what is drawn with.
        words: see `Overview`.
        most: rows of each section; None: all.
        width: as for `Table`.
    """
    lines: list[Drawn] = [([(summary(snapshot), "bold")], "")]
    for section in sections(snapshot, glyphs, _Matcher(words)):
        rows = section.rows[:most]
        table = Table(section.columns, width, rows, glyphs)
        lines += [([], ""), ([(section.name, "bold")], ""), (table.head(), "head")]
        lines += [(table.line(row), "") for row in rows]
        if len(rows) < len(section.rows):
            lines.append(([(f"and {len(section.rows) - len(rows)} more", "dim")], ""))
    return lines


class Overview:
    """What the person who looks has chosen, and the lines that come of it.

    Args:
        glyphs: what is drawn with.
        words: rows are shown that one of these occurs in; none: all.
        most: rows of each section; None: all.
    """

    def __init__(self, glyphs: Glyphs, words: Sequence[str] = (), most: int | None = None) -> None:
        self._glyphs = glyphs
        self.words = tuple(words)
        self._most = most
        self._sections: list[Section] = []
        self._rows: list[tuple[int, Row]] = []
        self._cursor = 0
        self._chosen = ""  # the id of the row under the cursor: it stays there when rows move
        self._top = 0
        self._page = 1
        # By section: the column that its rows are ordered by, and whether the largest comes first.
        self._orders: dict[str, tuple[str, bool]] = {}

    def show(self, snapshot: Snapshot) -> None:
        """From now on this is what is seen."""
        found = sections(snapshot, self._glyphs, _Matcher(self.words))
        self._sections = [each.sorted_by(*self._orders.get(each.name, ("", True))) for each in found]
        self._rows = [
            (place, row) for place, each in enumerate(self._sections) for row in each.rows[: self._most]
        ]
        self._find_cursor()

    @property
    def row(self) -> Row | None:
        """The row under the cursor; None: there is none."""
        return self._rows[self._cursor][1] if self._rows else None

    def by_id(self, id_: str) -> Row | None:
        """The row with that id; None: it is not there any more."""
        return next((row for section in self._sections for row in section.rows if row.id == id_), None)

    def move(self, key: str) -> bool:
        """Move the cursor as this key does; whether it is such a key."""
        steps = {
            "up": -1, "down": 1, "page up": -self._page, "page down": self._page,
            "home": -len(self._rows), "end": len(self._rows),
        }  # fmt: skip
        if key in ("tab", "back tab"):
            self._next_section(1 if key == "tab" else -1)
        elif key in steps:
            self._put_cursor(self._cursor + steps[key])
        else:
            return False
        return True

    def order(self, step: int) -> str:
        """Order the section under the cursor by the next column, or by the one before; its title, or what says that
        there is none."""
        if not self._rows:
            return ""
        section = self._sections[self._rows[self._cursor][0]]
        titles = ["", *(each.title for each in section.columns if each.sort is not None)]
        now = self._orders.get(section.name, ("", True))[0]
        title = titles[(titles.index(now) + step) % len(titles)] if now in titles else ""
        self._orders[section.name] = title, title != "NAME"
        return f"{section.name} by {title}" if title else f"{section.name} as they come"

    def invert(self) -> None:
        """Turn the order of the section under the cursor round."""
        if self._rows:
            name = self._sections[self._rows[self._cursor][0]].name
            title, largest_first = self._orders.get(name, ("", True))
            self._orders[name] = title, not largest_first

    def find(self, word: str, again: bool = False) -> bool:
        """Put the cursor on the next row in which this occurs; whether there is one.

        Args:
            word: what to look for; case does not matter.
            again: the row under the cursor does not count.
        """
        matches = _Matcher([word])
        for step in range(int(again), len(self._rows) + int(again)):
            place = (self._cursor + step) % len(self._rows)
            if matches(self._rows[place][1].words):
                self._put_cursor(place)
                return True
        return False

    def lines(self, width: int, height: int, found: str = "") -> list[Drawn]:
        """What to draw: so many lines of so many cells.

        Args:
            width, height: of the space.
            found: rows in which this occurs are marked.
        """
        if not self._rows:
            text = "nothing matches" if self.words else "no queue, topic or process of conveyor's is here"
            return [([(clipped(text, width, self._glyphs), "dim")], "")]
        matches = _Matcher([found]) if found else None
        tables = [Table(each.columns, width, each.rows, self._glyphs) for each in self._sections]
        # The titles of the first visible row's section always stand on the first line.
        self._page = max(height - 1 - len(self._sections), 1)
        self._scroll(height)
        lines: list[Drawn] = []
        last = -1
        for place in range(self._top, len(self._rows)):
            number, row = self._rows[place]
            needs = 1 + (number != last)
            if len(lines) + needs > height:
                break
            if number != last:
                section, last = self._sections[number], number
                head = tables[number].head(*self._orders.get(section.name, ("", True)))
                lines.append((self._titled(section, head), "head"))
            base = "cursor" if place == self._cursor else ""
            if matches is not None and not base and matches(row.words):
                base = "found"
            lines.append((tables[number].line(row), base))
        return lines

    def _titled(self, section: Section, head: Line) -> Line:
        """The first column's title says which section it is, where that column is wide enough."""
        first, style = head[0]
        name = f"{section.name} {len(section.rows)}"
        if first.startswith("NAME") and len(first) >= len(name):
            mark = first[4] if first[4:5].strip() else ""
            return [(f"{name}{mark}".ljust(len(first))[: len(first)], style), *head[1:]]
        return head

    def _scroll(self, height: int) -> None:
        if self._cursor < self._top:
            self._top = self._cursor
        self._top = max(min(self._top, len(self._rows) - 1), 0)
        while self._top < self._cursor and self._needed(self._top, self._cursor) > height:
            self._top += 1
        # No empty space below while rows are hidden above.
        while self._top > 0 and self._needed(self._top - 1, len(self._rows) - 1) <= height:
            self._top -= 1

    def _needed(self, first: int, last: int) -> int:
        """Lines from one row to another, titles included."""
        return last - first + 1 + self._rows[last][0] - self._rows[first][0] + 1

    def _put_cursor(self, place: int) -> None:
        self._cursor = max(min(place, len(self._rows) - 1), 0)
        self._chosen = self._rows[self._cursor][1].id if self._rows else ""

    def _find_cursor(self) -> None:
        for place, (_, row) in enumerate(self._rows):
            if row.id == self._chosen:
                self._cursor = place
                return
        self._put_cursor(self._cursor)

    def _next_section(self, step: int) -> None:
        if self._rows:
            wanted = (self._rows[self._cursor][0] + step) % len(self._sections)
            self._put_cursor(next(place for place, (number, _) in enumerate(self._rows) if number == wanted))


class _Matcher:
    """Whether one of the words occurs, whatever its case; all do if there is none."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = [word.casefold() for word in words if word]

    def __call__(self, text: str) -> bool:
        folded = text.casefold()
        return not self._words or any(word in folded for word in self._words)


def _plural(number: int, noun: str, ending: str = "s") -> str:
    return f"{number} {noun}{'' if number == 1 else ending}"
