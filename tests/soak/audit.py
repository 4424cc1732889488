"""What the books of an episode say: was anything lost, doubled, damaged, or out of order?"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from ledger import Record, What, read
from workers import BATCH

Item = tuple[int, int]


@dataclass
class Death:
    worker: int
    at: int  # monotonic_ns
    consumer: bool


@dataclass
class Outcome:
    """Figures of one episode, or of all together."""

    episodes: int = 0
    items: int = 0
    kills: int = 0
    stops: int = 0
    terms: int = 0
    hung: int = 0
    in_hand: int = 0  # lost with the killed consumer that had just got them
    lost: int = 0
    doubled: int = 0
    damaged: int = 0
    disordered: int = 0
    failed: int = 0  # processes that ended with an error of their own
    seen_again: int = 0  # leased again after a death or a return
    troubles: list[str] = field(default_factory=list)
    recoveries: list[float] = field(default_factory=list)  # seconds from a death to the next sign of life
    lease_recoveries: list[float] = field(default_factory=list)  # to the next lease of what the dead had

    def add(self, other: Outcome) -> None:
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

    @property
    def sound(self) -> bool:
        return not (
            self.hung
            or self.lost
            or self.doubled
            or self.damaged
            or self.disordered
            or self.failed
            or self.troubles
        )


def audit(
    folder: Path, producers: list[int], consumers: list[int], deaths: list[Death], mode: str
) -> Outcome:
    books = {worker: list(read(folder, worker)) for worker in (*producers, *consumers)}
    outcome = Outcome(episodes=1)
    last_put = {
        worker: max((r.number for r in books[worker] if r.what is What.PUT), default=-1)
        for worker in producers
    }
    outcome.items = sum(last + 1 for last in last_put.values())
    outcome.damaged = sum(r.what is What.DAMAGED for worker in consumers for r in books[worker])
    dead = {death.worker: death for death in deaths}
    if mode in ("one", "many"):
        _plain(books, last_put, consumers, dead, mode, outcome)
    else:
        _leased(books, last_put, consumers, dead, outcome)
    _recoveries(books, deaths, outcome)
    return outcome


def _plain(
    books: dict[int, list[Record]],
    last_put: dict[int, int],
    consumers: list[int],
    dead: dict[int, Death],
    mode: str,
    outcome: Outcome,
) -> None:
    got: Counter[Item] = Counter()
    for worker in consumers:
        newest: dict[int, int] = {}
        for record in books[worker]:
            if record.what is What.GOT:
                got[record.producer, record.number] += 1
                if record.number <= newest.get(record.producer, -1):
                    outcome.disordered += 1
                newest[record.producer] = record.number
    outcome.doubled = sum(times > 1 for times in got.values())
    missing = sum((worker, n) not in got for worker, last in last_put.items() for n in range(last + 1))
    allowed = sum(worker in dead for worker in consumers) * (BATCH if mode == "many" else 1)
    outcome.in_hand = min(missing, allowed)
    outcome.lost = missing - outcome.in_hand


def _leased(
    books: dict[int, list[Record]],
    last_put: dict[int, int],
    consumers: list[int],
    dead: dict[int, Death],
    outcome: Outcome,
) -> None:
    seen: dict[Item, list[tuple[int, int]]] = defaultdict(list)
    acknowledged: Counter[Item] = Counter()
    excuses: Counter[Item] = Counter()  # why an item may be seen once more
    half: set[Item] = set()  # the holder was killed while it acknowledged: both is right
    for worker in consumers:
        open_: set[Item] = set()
        for record in books[worker]:
            item = (record.producer, record.number)
            if record.what is What.SEEN:
                seen[item].append((record.at, worker))
                open_.add(item)
            elif record.what is What.BEGUN:
                half.add(item)
            elif record.what is What.ACKNOWLEDGED:
                acknowledged[item] += 1
                half.discard(item)
                open_.discard(item)
            elif record.what is What.BACK:
                excuses[item] += 1
                open_.discard(item)
        for item in open_:
            if worker in dead:
                excuses[item] += 1
                again = [at for at, other in seen[item] if at > dead[worker].at and other != worker]
                if again:
                    outcome.lease_recoveries.append((min(again) - dead[worker].at) / 1e9)
    outcome.doubled = sum(times > 1 for times in acknowledged.values())
    outcome.doubled += sum(len(times) - 1 > excuses[item] for item, times in seen.items())
    outcome.seen_again = sum(len(times) - 1 for times in seen.values())
    for worker, last in last_put.items():
        for number in range(last + 1):
            item = (worker, number)
            outcome.lost += item not in acknowledged and item not in half


def _recoveries(books: dict[int, list[Record]], deaths: list[Death], outcome: Outcome) -> None:
    """From each death to the next item that anybody else received: how long all stood still at most."""
    taking = (What.GOT, What.SEEN)
    moments = sorted(
        (record.at, worker) for worker, book in books.items() for record in book if record.what in taking
    )
    at = 0
    for death in sorted(deaths, key=lambda each: each.at):
        while at < len(moments) and moments[at][0] <= death.at:
            at += 1
        later = next((moment for moment, worker in moments[at : at + 50] if worker != death.worker), None)
        if later is not None:
            outcome.recoveries.append((later - death.at) / 1e9)
