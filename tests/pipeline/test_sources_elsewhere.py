"""Sources that are read in another thread, or in an event loop: what they are bound to, and how they end."""

from __future__ import annotations

import asyncio
import contextvars
import decimal
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from stages import same

from conveyor import Pipeline

Connect = Callable[[], sqlite3.Connection]


@pytest.fixture
def connect(tmp_path: Path) -> Iterator[Connect]:
    path = tmp_path / "rows.db"
    opened: list[sqlite3.Connection] = []

    def connect() -> sqlite3.Connection:
        opened.append(sqlite3.connect(path, check_same_thread=True))
        return opened[-1]

    made = connect()
    made.execute("CREATE TABLE numbers (number INTEGER)")
    made.executemany("INSERT INTO numbers VALUES (?)", [(number,) for number in range(100)])
    made.commit()
    yield connect
    made.close()


QUERY = "SELECT number FROM numbers ORDER BY number"
ROWS = [(number,) for number in range(100)]


class TestBoundToAThread:
    def test_a_cursor(self, connect: Connect) -> None:
        connection = connect()
        assert list(Pipeline(connection.execute(QUERY)).map(same, threads=1).stream()) == ROWS
        connection.close()

    def test_a_generator_function_that_opens_it(self, connect: Connect) -> None:
        def rows() -> Iterator[Any]:
            connection = sqlite3.connect(path)
            yield from connection.execute(QUERY)
            connection.close()

        asked = connect()
        ((_, _, path),) = asked.execute("PRAGMA database_list")
        asked.close()
        assert list(Pipeline(rows).map(same, threads=1).stream()) == ROWS

    @pytest.mark.parametrize("how", ["generator", "map", "generator function"])
    def test_anything_else_says_what_to_do(self, how: str, connect: Connect) -> None:
        connection = connect()

        def rows() -> Iterator[Any]:
            yield from connection.execute(QUERY)

        source: Any = {"generator": rows, "map": lambda: map(tuple, connection.execute(QUERY))}.get(
            how, lambda: rows
        )()
        with pytest.raises(sqlite3.ProgrammingError) as caught:
            Pipeline(source).map(same, threads=1).to(list).run()
        assert "the source is read in a thread of its own" in caught.value.__notes__[0]
        assert "give a generator function that makes it" in caught.value.__notes__[0]
        connection.close()


NAME: contextvars.ContextVar[str] = contextvars.ContextVar("NAME", default="nobody")


def test_context_variables_are_the_callers() -> None:
    def source() -> Iterator[tuple[str, int]]:
        yield NAME.get(), decimal.getcontext().prec

    def look(item: Any) -> tuple[Any, ...]:
        return (*item, NAME.get(), decimal.getcontext().prec)

    token = NAME.set("caller")
    try:
        with decimal.localcontext(prec=50):
            assert list(Pipeline(source).map(look, threads=1).stream()) == [("caller", 50, "caller", 50)]
    finally:
        NAME.reset(token)


class Ended(BaseException):
    """As libraries have them that unwind by what no `except Exception` catches."""


RAISED: list[type[BaseException]] = [
    asyncio.CancelledError,
    GeneratorExit,
    KeyboardInterrupt,
    SystemExit,
    Ended,
    ValueError,
]


@pytest.mark.parametrize("error", RAISED)
@pytest.mark.parametrize("at", [0, 1, 7])
class TestEnds:
    """An exception out of a source is never taken for its end; what it gave before is dealt with, if that can be."""

    def check(self, source: Any, error: type[BaseException], at: int) -> None:
        got: list[int] = []
        with pytest.raises(error) as caught:
            Pipeline(source).map(same, threads=1).to(got).run()
        if error not in (KeyboardInterrupt, SystemExit):  # these do not wait
            assert sorted(got) == list(range(at))
        assert hasattr(caught.value, "report")

    def test_an_async_generator(self, error: type[BaseException], at: int) -> None:
        async def source() -> AsyncIterator[int]:
            for number in range(at):
                yield number
                await asyncio.sleep(0)
            raise error("mine")

        self.check(source, error, at)

    def test_an_async_iterator(self, error: type[BaseException], at: int) -> None:
        class Source:
            count = -1

            def __aiter__(self) -> Source:
                return self

            async def __anext__(self) -> int:
                self.count += 1
                if self.count == at:
                    raise error("mine")
                return self.count

        self.check(Source(), error, at)

    def test_a_generator(self, error: type[BaseException], at: int) -> None:
        def source() -> Iterator[int]:
            yield from range(at)
            raise error("mine")

        self.check(source, error, at)


def test_what_an_async_source_awaits_is_cancelled() -> None:
    async def source() -> AsyncIterator[int]:
        yield 1
        other = asyncio.ensure_future(asyncio.sleep(3600))
        asyncio.get_running_loop().call_soon(other.cancel)
        await other
        yield 2

    with pytest.raises(asyncio.CancelledError) as caught:
        Pipeline(source).map(same, threads=1).to(list).run()
    assert "and not the run" in caught.value.__notes__[0]


def test_a_run_that_is_left_cancels_its_async_source_and_that_is_no_error() -> None:
    closed: list[bool] = []

    async def source() -> AsyncIterator[int]:
        try:
            while True:
                yield 1
                await asyncio.sleep(0)
        finally:
            closed.append(True)

    stream = Pipeline(source).map(same, threads=1).stream()
    assert next(iter(stream)) == 1
    stream.close()  # type: ignore[attr-defined]
    assert closed == [True]
