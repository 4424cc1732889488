"""Items that cannot be read where they arrive: their bytes, and who sent them, are never lost."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import pickle
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from helpers import METHODS

import conveyor
from conveyor import DeadLetter

KINDS = [conveyor.Queue, conveyor.JoinableQueue, conveyor.SimpleQueue]


class Unknown(Exception):
    pass


class Poison:
    """Cannot be unpickled while `cured` is False; has what it carries, when it can."""

    cured = False

    def __init__(self, carries: Any = None) -> None:
        self.carries = carries

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrive, (self.carries,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Poison) and self.carries == other.carries

    __hash__ = None  # type: ignore[assignment]


def _arrive(carries: Any) -> Poison:
    if not Poison.cured:
        raise Unknown("cannot be made here")
    return Poison(carries)


@pytest.fixture(autouse=True)
def ill() -> Iterator[None]:
    Poison.cured = False
    yield
    Poison.cured = False


def cure(error: Any) -> Poison:
    """What the error says of the item is all of it."""
    Poison.cured = True
    try:
        made: Poison = pickle.loads(error.raw, buffers=error.buffers)
        return made
    finally:
        Poison.cured = False


# Within a message, in a run of its own, and with a buffer beside the pickle, small and large.
CARRIED = [None, "x" * 100_000, bytearray(b"y" * 20_000), bytearray(b"z" * 1_000_000)]


def carried(content: Any) -> Any:
    return pickle.PickleBuffer(content) if isinstance(content, bytearray) else content


def is_same(poison: Poison, content: Any) -> bool:
    return (
        bytes(poison.carries) == bytes(content)
        if isinstance(content, bytearray)
        else poison.carries == content
    )


def put_from(start: str, put: Callable[..., None], *items: Any) -> int:
    """The pid of the process that did it. A class is made an object of there: it could not be sent to it."""
    process = multiprocessing.get_context(start).Process(target=_put_all, args=(put, items))
    process.start()
    process.join(60)
    assert process.exitcode == 0
    pid = process.pid
    assert pid is not None
    return pid


def _put_all(put: Callable[..., None], items: tuple[Any, ...]) -> None:
    for item in items:
        put(item() if isinstance(item, type) else item)


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

    def test_ctrl_c_is_not_put_off(self) -> None:
        queue = conveyor.Queue[Any]()
        queue.put_many([1, Interrupting(), 2])
        with pytest.raises(KeyboardInterrupt) as caught:
            queue.get_many()
        assert caught.value.items_received == [1, 2]  # type: ignore[attr-defined]
        assert caught.value.producer_pid == os.getpid()  # type: ignore[attr-defined]


class Interrupting:
    def __reduce__(self) -> tuple[Any, ...]:
        return _interrupt, ()


def _interrupt() -> None:
    raise KeyboardInterrupt


def _finds_nothing(queue: Any) -> None:
    with pytest.raises(conveyor.Empty):
        queue.get_nowait()


class TestLeases:
    @pytest.mark.parametrize("content", CARRIED, ids=lambda content: type(content).__name__)
    @pytest.mark.parametrize("kind", [conveyor.Queue, conveyor.JoinableQueue])
    def test_it_becomes_a_dead_letter(self, kind: Any, content: Any) -> None:
        dead = conveyor.Queue[DeadLetter[Any]]()
        queue = kind(max_attempts=2, dead_letters=dead)
        queue.put(Poison(carried(content)))
        for _ in range(2):
            with pytest.raises(Unknown) as caught:
                queue.lease(0)
            assert is_same(cure(caught.value), content)
            assert caught.value.producer_pid == os.getpid()  # type: ignore[attr-defined]
        letter = dead.get(timeout=5)
        assert letter.attempts == 2
        assert letter.error.endswith("Unknown: cannot be made here")
        assert letter.item == letter.raw
        assert letter.pid == letter.producer_pid == os.getpid()
        assert is_same(cure(letter), content)
        seen = queue.statistics()
        assert (seen.dead, seen.leased, seen.depth) == (0, 0, 0)
        assert queue._check() == ""

    def test_a_joinable_queue_has_done_with_it(self) -> None:
        dead = conveyor.Queue[DeadLetter[Any]]()
        queue = conveyor.JoinableQueue[Any](max_attempts=1, dead_letters=dead)
        queue.put(Poison())
        with pytest.raises(Unknown):
            queue.lease(0)
        assert queue.join(5)

    @pytest.mark.parametrize("start", METHODS)
    def test_the_letter_says_who_sent_it_and_who_had_it(self, start: str) -> None:
        dead = conveyor.Queue[DeadLetter[Any]]()
        queue = conveyor.Queue[Any](max_attempts=1, dead_letters=dead)
        pid = put_from(start, queue.put, Poison)
        with pytest.raises(Unknown):
            queue.lease(0)
        letter = dead.get(timeout=5)
        assert (letter.pid, letter.producer_pid) == (os.getpid(), pid)

    def test_of_a_readable_item_it_says_who_sent_it(self) -> None:
        dead = conveyor.Queue[DeadLetter[Any]]()
        queue = conveyor.Queue[int](max_attempts=1, dead_letters=dead)
        pid = put_from("fork", queue.put, 7)
        queue.lease().reject("no")
        letter = dead.get(timeout=5)
        assert (letter.item, letter.raw, letter.producer_pid) == (7, None, pid)

    def test_many_the_good_ones_arrive_and_the_bad_ones_go(self) -> None:
        dead = conveyor.Queue[DeadLetter[Any]]()
        queue = conveyor.Queue[Any](max_attempts=1, dead_letters=dead)
        queue.put_many([1, Poison("a"), 2, Poison("b")])
        with queue.lease_many() as items:
            assert items == [1, 2]
        assert [cure(letter).carries for letter in dead.get_many()] == ["a", "b"]

    def test_ctrl_c_gives_all_of_them_back(self) -> None:
        queue = conveyor.Queue[Any]()
        queue.put_many([1, Interrupting(), 2])
        with pytest.raises(KeyboardInterrupt):
            queue.lease_many()
        assert queue.statistics().leased == 0
        assert queue.qsize() == 3
        assert queue.get() == 1

    def test_for_coroutines(self) -> None:
        dead = conveyor.Queue[DeadLetter[Any]]()
        queue = conveyor.Queue[Any](max_attempts=1, dead_letters=dead)
        queue.put(Poison("it"))

        async def take() -> None:
            async with queue.alease():
                pass

        with pytest.raises(Unknown) as caught:
            asyncio.run(take())
        assert cure(caught.value).carries == "it"
        assert cure(asyncio.run(dead.aget(5))).carries == "it"


class TestPipesAndTopics:
    @pytest.mark.parametrize("duplex", [True, False])
    @pytest.mark.parametrize("content", CARRIED, ids=lambda content: type(content).__name__)
    def test_a_pipe(self, content: Any, duplex: bool) -> None:
        receiving, sending = conveyor.Pipe(duplex)
        with receiving, sending:
            sending.send(Poison(carried(content)))
            sending.send("next")
            with pytest.raises(Unknown) as caught:
                receiving.recv()
            assert is_same(cure(caught.value), content)
            assert caught.value.producer_pid == os.getpid()  # type: ignore[attr-defined]
            assert receiving.recv() == "next"

    @pytest.mark.parametrize("content", CARRIED, ids=lambda content: type(content).__name__)
    def test_a_topic(self, content: Any) -> None:
        topic = conveyor.Topic[Any]()
        with topic.subscribe() as one, topic.subscribe() as other:
            pid = put_from("fork", topic.publish, Poison(carried(content)), "next")
            for subscription in (one, other):
                with pytest.raises(Unknown) as caught:
                    subscription.get()
                assert caught.value.producer_pid == pid  # type: ignore[attr-defined]
                assert is_same(cure(caught.value), content)
                assert subscription.get() == "next"

    def test_many_events(self) -> None:
        topic = conveyor.Topic[Any]()
        with topic.subscribe() as subscription:
            topic.publish_many([1, 2, Poison("it"), 3])
            assert subscription.get_many() == [1, 2]
            with pytest.raises(Unknown) as caught:
                subscription.get_many()
            assert cure(caught.value).carries == "it"
            assert subscription.get_many() == [3]

    def test_events_by_iteration_and_for_coroutines(self) -> None:
        topic = conveyor.Topic[Any]()
        with topic.subscribe() as subscription:
            topic.publish_many([Poison("a"), Poison("b"), 3])
            topic.shutdown()
            with pytest.raises(Unknown) as caught:
                next(iter(subscription))
            assert cure(caught.value).carries == "a"
            with pytest.raises(Unknown) as caught:
                asyncio.run(subscription.aget())
            assert cure(caught.value).carries == "b"
            assert list(subscription) == [3]
