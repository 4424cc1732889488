"""Items that cannot be read where they arrive: their bytes, and who sent them, are never lost."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import pickle
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from helpers import METHODS
from poison import CARRIED, Poison, Unknown, carried, cure, is_same, put_from

import conveyor

KINDS = [conveyor.Queue, conveyor.JoinableQueue, conveyor.SimpleQueue]


@pytest.fixture(autouse=True)
def ill() -> Iterator[None]:
    Poison.cured = False
    yield
    Poison.cured = False


def an_unknown_module() -> types.ModuleType:
    module = types.ModuleType("of_the_producer_only")
    module.Thing = type("Thing", (), {"__module__": "of_the_producer_only"})  # type: ignore[attr-defined]
    return module


class TestGet:
    @pytest.mark.parametrize("content", CARRIED, ids=lambda content: type(content).__name__)
    @pytest.mark.parametrize("kind", KINDS)
    def test_the_error_has_the_bytes_and_the_sender(self, kind: Any, content: Any) -> None:
        queue = kind()
        queue.put(Poison(carried(content)))
        queue.put("next")
        with pytest.raises(Unknown) as caught:
            queue.get()
        assert caught.value.producer_pid == os.getpid()  # type: ignore[attr-defined]
        assert is_same(cure(caught.value), content)
        assert f"process {os.getpid()} sent it" in caught.value.__notes__[0]
        assert queue.get() == "next"
        assert queue._check() == ""

    @pytest.mark.parametrize("start", METHODS)
    @pytest.mark.parametrize("kind", KINDS)
    def test_from_another_process(self, kind: Any, start: str) -> None:
        queue = kind()
        pid = put_from(start, queue.put, Poison, "fine")
        with pytest.raises(Unknown) as caught:
            queue.get()
        assert caught.value.producer_pid == pid  # type: ignore[attr-defined]
        assert queue.get() == "fine"

    def test_of_a_module_that_is_not_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        queue = conveyor.Queue[Any]()
        module = an_unknown_module()
        monkeypatch.setitem(sys.modules, module.__name__, module)
        queue.put(module.Thing())
        monkeypatch.delitem(sys.modules, module.__name__)
        with pytest.raises(ModuleNotFoundError) as caught:
            queue.get()
        monkeypatch.setitem(sys.modules, module.__name__, module)
        assert type(pickle.loads(caught.value.raw)) is module.Thing  # type: ignore[attr-defined]

    def test_by_a_codec_of_the_users(self) -> None:
        class Fussy:
            name = "fussy"

            def dumps(self, obj: Any) -> tuple[bytes, list[Any]]:
                return b"head", [bytes(obj)]

            def loads(self, header: memoryview, buffers: Any) -> Any:
                raise Unknown("not today")

        queue = conveyor.Queue[bytes](codec=Fussy())  # type: ignore[arg-type]
        queue.put(b"body" * 10_000)
        with pytest.raises(Unknown) as caught:
            queue.get()
        assert caught.value.raw == b"head"  # type: ignore[attr-defined]
        assert caught.value.buffers == [b"body" * 10_000]  # type: ignore[attr-defined]
        assert queue._check() == ""

    def test_tasks_are_counted_as_for_any_item(self) -> None:
        queue = conveyor.JoinableQueue[Any]()
        queue.put_many([Poison(), 1, Poison()])
        assert queue.get_many() == [1]
        assert queue.unfinished_tasks == 3
        queue.task_done()
        for _ in range(2):
            with pytest.raises(Unknown):
                queue.get_nowait()
            queue.task_done()
        assert queue.join(0)
        with pytest.raises(ValueError, match="too many"):
            queue.task_done()

    def test_through_the_end_that_the_standard_library_uses(self) -> None:
        queue = conveyor.Queue[Any]()
        queue.put(Poison("it"))
        with pytest.raises(Unknown) as caught:
            queue._reader.recv()
        assert cure(caught.value).carries == "it"


class TestMany:
    def test_the_good_ones_arrive(self) -> None:
        queue = conveyor.Queue[Any]()
        queue.put_many([1, Poison("first"), b"x" * 50_000, Poison("second"), 3])
        assert queue.get_many() == [1, b"x" * 50_000, 3]
        assert queue.empty()
        queue.put("next")
        for name in ("first", "second"):
            with pytest.raises(Unknown) as caught:
                queue.get()
            assert cure(caught.value).carries == name
        assert queue.get() == "next"
        assert queue._check() == ""

    @pytest.mark.parametrize(
        "call",
        [
            lambda queue: queue.get_many(),
            lambda queue: queue.get(),
            lambda queue: queue.get_nowait(),
            lambda queue: queue.lease(0),
            lambda queue: queue.lease_many(10, 0),
            lambda queue: next(iter(queue)),
            lambda queue: asyncio.run(queue.aget()),
            lambda queue: asyncio.run(queue.aget_many()),
        ],
    )
    def test_the_next_call_of_any_kind_tells(self, call: Callable[[Any], Any]) -> None:
        queue = conveyor.Queue[Any]()
        queue.put_many([1, Poison("it")])
        assert queue.get_many() == [1]
        with pytest.raises(Unknown) as caught:
            call(queue)
        assert cure(caught.value).carries == "it"

    def test_only_bad_ones(self) -> None:
        queue = conveyor.Queue[Any]()
        queue.put_many([Poison(1), Poison(2)])
        for number in (1, 2):
            with pytest.raises(Unknown) as caught:
                queue.get_many(timeout=0)
            assert cure(caught.value).carries == number
        with pytest.raises(conveyor.Empty):
            queue.get_many(timeout=0)

    def test_a_forked_child_is_not_told_of_its_parents(self) -> None:
        queue = conveyor.Queue[Any]()
        queue.put_many([1, Poison()])
        assert queue.get_many() == [1]
        context = multiprocessing.get_context("fork")
        process = context.Process(target=_finds_nothing, args=(queue,))
        process.start()
        process.join(60)
        assert process.exitcode == 0
        with pytest.raises(Unknown):
            queue.get()

    @pytest.mark.parametrize("end", ["close", "del"])
    def test_what_nobody_asks_for_any_more_is_not_silent(
        self, end: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        heard: list[Any] = []
        monkeypatch.setattr(sys, "unraisablehook", lambda told: heard.append(told.exc_value))
        queue = conveyor.Queue[Any]()
        queue.put_many([1, Poison("it")])
        queue.get_many()
        if end == "close":
            queue.close()
        del queue
        assert [cure(error).carries for error in heard] == ["it"]

    @pytest.mark.parametrize("kind", [conveyor.Queue, conveyor.Topic])
    def test_a_collector_that_takes_both_finds_the_error_whole(
        self, kind: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        heard: list[str] = []
        monkeypatch.setattr(sys, "unraisablehook", lambda told: heard.append(str(told.exc_value)))
        owner = kind()
        reader: Any = owner.subscribe() if kind is conveyor.Topic else owner
        for item in (1, Poison()):
            owner.publish(item) if kind is conveyor.Topic else owner.put(item)
        assert reader.get_many() == [1]
        reader.itself = [reader]  # a circle
        del owner, reader
        gc.collect()
        assert heard == ["cannot be made here"]

    def test_ctrl_c_is_not_put_off(self) -> None:
        queue = conveyor.Queue[Any]()
        queue.put_many([1, Interrupting(), 2])
        with pytest.raises(KeyboardInterrupt) as caught:
            queue.get_many()
        assert caught.value.items_received == [1, 2]  # type: ignore[attr-defined]
        assert caught.value.producer_pid == os.getpid()  # type: ignore[attr-defined]


class Ending:
    """Raises, where it is unpickled, what loops take for the end."""

    def __init__(self, error: type[Exception]) -> None:
        self.error = error

    def __reduce__(self) -> tuple[Any, ...]:
        return _end, (self.error,)


def _end(error: type[Exception]) -> None:
    raise error


async def _awaited(items: Any) -> None:
    async for _ in items:
        pass


async def _one(items: Any) -> None:
    while True:
        await items.aget(timeout=10)


def _each(items: Any) -> None:
    for _ in items:
        pass


def _all_at_once(items: Any) -> None:
    while True:
        items.get_many()


class TestEnds:
    """An item was taken, and others follow: its error is no end of the loop, and not that there is nothing."""

    WAYS: tuple[Callable[[Any], Any], ...] = (
        _each,
        _all_at_once,
        lambda items: asyncio.run(_awaited(items)),
        lambda items: asyncio.run(_one(items)),
    )

    @pytest.mark.parametrize(
        "error", [StopIteration, StopAsyncIteration, conveyor.Empty, conveyor.Full, conveyor.ShutDown]
    )
    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize("kind", [conveyor.Queue, conveyor.Topic])
    def test_of_loops_are_not_feigned(
        self, kind: Any, way: Callable[[Any], Any], error: type[Exception]
    ) -> None:
        owner = kind()
        items: Any = owner.subscribe() if kind is conveyor.Topic else owner
        for item in (1, Ending(error), 2):
            owner.publish(item) if kind is conveyor.Topic else owner.put(item)
        owner.shutdown()
        with pytest.raises(RuntimeError, match=f"reading the item raised {error.__name__}") as caught:
            way(items)
        assert type(caught.value.__cause__) is error
        assert caught.value.producer_pid == os.getpid()  # type: ignore[attr-defined]
        assert caught.value.raw  # type: ignore[attr-defined]
        if way is not _all_at_once:
            assert items.get_nowait() == 2


class Interrupting:
    def __reduce__(self) -> tuple[Any, ...]:
        return _interrupt, ()


def _interrupt() -> None:
    raise KeyboardInterrupt


def _finds_nothing(queue: Any) -> None:
    with pytest.raises(conveyor.Empty):
        queue.get_nowait()
