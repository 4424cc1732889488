"""A web server's access log: sessions per client and the most wanted paths, on all cores.

    python examples/logs.py                       # makes a log of 200 MB in the folder for temporary files, and counts
    python examples/logs.py --size 20 --check     # a tenth of that; and in one plain loop, too: equal, and how slow?
    conveyor run examples/logs.py:pipeline -j 2   # the same from the shell

Each line is parsed once. A client's requests belong to one session as long as no more than half an hour lies
between them; that takes all of a client's requests in order, so parts of the log are counted by themselves and
then put together, with what each part knows of every client's first and last request.
"""

from __future__ import annotations

import argparse
import random
import re
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from conveyor import Pipeline, read_lines

LOG = Path(tempfile.gettempdir()) / "conveyor-access.log"
SESSION_SECONDS = 1800
LINE = re.compile(rb'(\S+) \S+ \S+ \[([^\]]+)\] "(?:GET|POST|HEAD) ([^ "]+)[^"]*" (\d{3}) (\d+|-)')
_MONTHS = {
    name: number for number, name in enumerate(b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), 1)
}
_DAYS: dict[bytes, int] = {}


@dataclass
class Client:
    """What a part of the log says of one client."""

    first: int
    """Time of its first request, in seconds."""
    last: int
    breaks: int = 0
    """Pauses between its requests that end a session."""


@dataclass
class Counts:
    """What a part of the log says."""

    clients: dict[bytes, Client] = field(default_factory=dict)
    paths: Counter[bytes] = field(default_factory=Counter)
    errors: int = 0
    bytes: int = 0
    bad: int = 0

    @property
    def sessions(self) -> int:
        """Sessions of all clients."""
        return sum(client.breaks + 1 for client in self.clients.values())


def seconds_of(stamp: bytes) -> int:
    """`10/Oct/2026:13:55:36 +0000` in seconds; days are looked up, for there are few."""
    day, clock = stamp[:11], stamp[12:20]
    start = _DAYS.get(day)
    if start is None:
        month = _MONTHS[day[3:6]]
        start = int(datetime(int(day[7:]), month, int(day[:2]), tzinfo=UTC).timestamp())
        _DAYS[day] = start
    return start + int(clock[:2]) * 3600 + int(clock[3:5]) * 60 + int(clock[6:])


def count(lines: Iterable[bytes]) -> Counts:
    """Count these lines, which follow each other in the log."""
    counts = Counts()
    for line in lines:
        match = LINE.match(line)
        if match is None:
            counts.bad += 1
            continue
        host, stamp, path, status, size = match.groups()
        when = seconds_of(stamp)
        client = counts.clients.get(host)
        if client is None:
            counts.clients[host] = Client(when, when)
        else:
            if when - client.last > SESSION_SECONDS:
                client.breaks += 1
            client.last = when
        counts.paths[path.partition(b"?")[0]] += 1
        counts.errors += status >= b"400"
        counts.bytes += int(size) if size != b"-" else 0
    return counts


def merge(total: Counts, part: Counts) -> Counts:
    """Add the counts of the part that follows."""
    for host, new in part.clients.items():
        old = total.clients.get(host)
        if old is None:
            total.clients[host] = new
            continue
        old.breaks += new.breaks + (new.first - old.last > SESSION_SECONDS)
        old.last = new.last
    total.paths.update(part.paths)
    total.errors += part.errors
    total.bytes += part.bytes
    total.bad += part.bad
    return total


def write_log(path: Path, megabytes: float, seed: int = 1) -> None:
    """Make a log as a web server would: few clients and paths are in most lines."""
    generator = random.Random(seed)
    part = generator.randrange
    hosts = [f"10.{part(256)}.{part(256)}.{part(256)}" for _ in range(5000)]
    paths = [f"/{generator.choice(('shop', 'blog', 'api', 'static'))}/{number}" for number in range(2000)]
    when = datetime(2026, 10, 1, tzinfo=UTC).timestamp()
    left = megabytes * 1e6
    with path.open("w") as file:
        while left > 0:
            lines: list[str] = []
            for _ in range(1000):
                when += generator.expovariate(2.0)
                host = hosts[min(int(generator.paretovariate(0.6)), 5000) - 1]
                wanted = paths[min(int(generator.paretovariate(0.5)), 2000) - 1]
                status = generator.choices((200, 304, 404, 500), (90, 5, 4, 1))[0]
                stamp = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(when))
                lines.append(
                    f'{host} - - [{stamp}] "GET {wanted}?id={generator.randrange(10**6)} HTTP/1.1" '
                    f'{status} {generator.randrange(200, 90_000)} "-" "Mozilla/5.0 (X11; Linux x86_64)"\n'
                )
            file.writelines(lines)
            left -= sum(map(len, lines))


def pipeline(path: Path = LOG) -> Pipeline[Counts]:
    """The log at `path`, counted; it is made if it is not there."""
    if not path.exists():
        write_log(path, 200)
    lines = read_lines(path, encoding=None)
    # Parts are counted by any worker, and put together in order.
    return Pipeline(lines, name="access log").batch(5000).map(count, ordered=True).reduce(merge, Counts())


def main() -> None:
    """Make the log, count it, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=float, default=200, help="megabytes of log to make")
    parser.add_argument("--check", action="store_true", help="count in one plain loop, too, and compare")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "access.log"
        print(f"writing {options.size:g} MB of log ...", flush=True)
        write_log(path, options.size)
        report = pipeline(path).run(progress=True)
        counts: Counts = report.result
        print(f"{report.taken:,} requests of {len(counts.clients):,} clients in {counts.sessions:,} sessions")
        print(
            f"{counts.bytes / 1e9:.2f} GB sent, {counts.errors:,} errors, {counts.bad:,} lines that are no requests"
        )
        for wanted, times in counts.paths.most_common(5):
            print(f"  {times:>9,}  {wanted.decode()}")
        if options.check:
            start = time.perf_counter()
            with path.open("rb") as file:
                plain = count(file)
            seconds = time.perf_counter() - start
            assert (plain.sessions, plain.paths, plain.errors) == (
                counts.sessions,
                counts.paths,
                counts.errors,
            )
            print(
                f"one plain loop counted the same in {seconds:.1f} s, {seconds / report.seconds:.2f} times as long"
            )


if __name__ == "__main__":
    main()
