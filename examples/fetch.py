"""Pages fetched by coroutines, a hundred at a time, and taken apart by processes; the server is in here, too.

    python examples/fetch.py                       # 500 pages, each of which takes the server a while
    python examples/fetch.py --count 50 --check    # and one after the other: equal, and how much slower?

Some pages fail at first, as pages do: they are fetched again. One is never there, and becomes a dead letter.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator

from conveyor import Pipeline

SECONDS = 0.02  # that the server takes for a page
WORDS = ["alpha", "beta", "gamma", "delta", "epsilon"]
_WORD = re.compile(rb"[a-z]+")


class Server:
    """An HTTP server of a thread's: `/page/7` has a text, each tenth only at the second try; there is no `/page/13`."""

    def __init__(self) -> None:
        self.port = 0
        self._asked: Counter[str] = Counter()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Server:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        server = self._loop.run_until_complete(asyncio.start_server(self._answer, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).split()
        path = request[1].decode()
        number = int(path.rpartition("/")[2])
        self._asked[path] += 1
        await asyncio.sleep(SECONDS)
        status, body = "200 OK", page(number)
        if number == 13:
            status, body = "404 Not Found", b""
        elif number % 10 == 5 and self._asked[path] == 1:
            status, body = "503 Service Unavailable", b""
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + body)
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()


def page(number: int) -> bytes:
    """The text of a page."""
    return " ".join(WORDS[(number * step) % len(WORDS)] for step in range(200)).encode()


async def fetch(url: str) -> bytes:
    """The body of a page, by HTTP as far as is needed here.

    Raises:
        OSError: it cannot be had.
    """
    address, _, path = url.removeprefix("http://").partition("/")
    host, _, port = address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(f"GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head.lower())
        body = await reader.readexactly(int(length[1])) if length else await reader.read()
    finally:
        writer.close()
    status = head.split(None, 2)[1]
    if status != b"200":
        raise OSError(f"{url} has status {status.decode()}")
    return body


def count_words(body: bytes) -> Counter[bytes]:
    """How often each word is there."""
    return Counter(_WORD.findall(body))


def add(total: Counter[bytes], some: Counter[bytes]) -> Counter[bytes]:
    """The counts of both."""
    total.update(some)
    return total


def urls(port: int, count: int) -> Iterator[str]:
    """The addresses of so many pages."""
    return (f"http://127.0.0.1:{port}/page/{number}" for number in range(count))


def pipeline(port: int, count: int) -> Pipeline[Counter[bytes]]:
    """The words of so many pages."""
    return (
        Pipeline(urls(port, count), name="fetch")
        .map(fetch, concurrency=100, timeout=10, retries=2, backoff=0.05, on_error="dead_letter")
        .map(count_words, workers=1)
        .reduce(add, Counter())
    )


async def one_by_one(port: int, count: int) -> Counter[bytes]:
    """The same in a plain loop."""
    total: Counter[bytes] = Counter()
    for url in urls(port, count):
        for _ in range(3):
            with contextlib.suppress(OSError):
                total.update(count_words(await fetch(url)))
                break
    return total


def main() -> None:
    """Start the server, fetch, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=500, help="how many pages")
    parser.add_argument("--check", action="store_true", help="fetch one after the other, too, and compare")
    options = parser.parse_args()
    with Server() as server:
        report = pipeline(server.port, options.count).run(progress=True)
        words: Counter[bytes] = report.result
        print(f"{report.taken} pages in {report.seconds:.2f} s, {report.retries} of them tried again")
        for letter in report.dead_letters:
            print(f"not fetched: {letter.item}: {letter.error}")
        print(", ".join(f"{times:,} {word.decode()}" for word, times in sorted(words.items())))
        if options.check:
            start = time.perf_counter()
            plain = asyncio.run(one_by_one(server.port, options.count))
            seconds = time.perf_counter() - start
            assert plain == words
            print(
                f"one by one gives the same in {seconds:.2f} s, {seconds / report.seconds:.1f} times as long"
            )


if __name__ == "__main__":
    main()
