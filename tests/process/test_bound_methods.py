"""Methods of conveyor's objects as targets and arguments: in whatever way a process is started, they arrive."""

from __future__ import annotations

import copy
import ctypes
import functools
import multiprocessing
import pickle
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

import conveyor

METHODS = ["fork", "spawn", "forkserver"]


class Record(ctypes.Structure):
    _fields_: ClassVar = [("x", ctypes.c_int)]


def everything() -> dict[str, Any]:
    """One of each that passes to other processes."""
    receiving, sending = conveyor.Pipe(duplex=False)
    return {
        "Queue": conveyor.Queue(),
        "JoinableQueue": conveyor.JoinableQueue(),
        "SimpleQueue": conveyor.SimpleQueue(),
        "Lock": conveyor.Lock(),
        "RLock": conveyor.RLock(),
        "Semaphore": conveyor.Semaphore(),
        "BoundedSemaphore": conveyor.BoundedSemaphore(),
        "Event": conveyor.Event(),
        "Condition": conveyor.Condition(),
        "Barrier": conveyor.Barrier(1),
        "SharedDict": conveyor.SharedDict(),
        "SharedList": conveyor.SharedList(),
        "SharedValue": conveyor.SharedValue(),
        "SharedArray": conveyor.SharedArray(3, lock=True),
        "SharedStruct": conveyor.SharedStruct(Record),
        "Topic": conveyor.Topic(),
        "receiving end": receiving,
        "sending end": sending,
    }


def methods_of(owner: Any) -> dict[str, Any]:
    """Its methods, those of `with` included; of the rest of the double underscores pickle has its own opinion."""
    names = [
        name
        for name in dir(owner)
        if not name.startswith("_") or name in ("__enter__", "__exit__", "_get_value")
    ]
    found = {name: getattr(owner, name) for name in names}
    return {name: member for name, member in found.items() if callable(member)}


@pytest.mark.parametrize("name", everything())
def test_every_method_pickles(name: str) -> None:
    owner = everything()[name]
    for of, method in methods_of(owner).items():
        for again in (pickle.loads(pickle.dumps(method)), copy.copy(method)):
            assert callable(again), of
            assert type(again) is type(method), of


def call_all(calls: list[tuple[Callable[..., Any], tuple[Any, ...]]]) -> None:
    for function, arguments in calls:
        function(*arguments)


@pytest.mark.parametrize("start", METHODS)
def test_they_do_in_the_child_what_they_do_here(start: str) -> None:
    made = everything()
    made["JoinableQueue"].put("a task")
    made["SimpleQueue"].put("an item")
    counter = conveyor.SharedValue()
    calls: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [
        (made["Queue"].put, (1,)),
        (functools.partial(made["Queue"].put, 2), ()),
        (functools.partial(made["Queue"].put_many, block=True), ([3, 4],)),
        (made["JoinableQueue"].get, ()),
        (made["JoinableQueue"].task_done, ()),
        (made["SimpleQueue"].get, ()),
        (made["SimpleQueue"].put, (5,)),
        (made["Lock"].acquire, ()),
        (made["RLock"].__enter__, ()),
        (made["RLock"].__exit__, (None, None, None)),
        (made["Semaphore"].release, (2,)),
        (made["BoundedSemaphore"].__enter__, ()),
        (made["Event"].set, ()),
        (made["Condition"].acquire, ()),
        (made["Condition"].notify_all, ()),
        (made["Condition"].release, ()),
        (made["Barrier"].wait, ()),
        (made["SharedDict"].setdefault, ("key", "value")),
        (made["SharedList"].append, ("item",)),
        (made["SharedValue"].add, (7,)),
        (made["SharedArray"].__setitem__, (0, 2.5)),
        (made["SharedStruct"].add, ("x", 3)),
        (made["Topic"].publish, ("event",)),
        (made["sending end"].send, ("bytes",)),
        (counter.add, (1,)),
    ]
    with made["Topic"].subscribe() as subscription:
        process = multiprocessing.get_context(start).Process(target=call_all, args=(calls,))
        process.start()
        process.join(60)
        assert process.exitcode == 0
        assert subscription.get(0) == "event"
    assert made["Queue"].get_many() == [1, 2, 3, 4]
    made["JoinableQueue"].join(0)
    assert made["SimpleQueue"].get() == 5
    assert made["Lock"].locked()
    assert not made["RLock"].locked()
    assert made["Event"].is_set()
    assert made["SharedDict"].copy() == {"key": "value"}
    assert made["SharedList"].copy() == ["item"]
    assert made["SharedValue"].value == 7
    assert made["SharedArray"][0] == 2.5
    assert made["SharedStruct"].x == 3
    assert made["receiving end"].recv() == "bytes"
    assert counter.value == 1
    for end in ("receiving end", "sending end"):
        made[end].close()


@pytest.mark.parametrize("start", METHODS)
@pytest.mark.parametrize("kind", [conveyor.Queue, conveyor.JoinableQueue, conveyor.SimpleQueue])
def test_a_method_as_a_target(start: str, kind: Any) -> None:
    queue = kind()
    process = multiprocessing.get_context(start).Process(target=queue.put, args=(1,))
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert queue.get() == 1


_source: Callable[[], Any]


def take_source(source: Callable[[], Any]) -> None:
    global _source
    _source = source


def from_source(_: int) -> Any:
    return _source()


@pytest.mark.parametrize("start", METHODS)
def test_as_an_argument_of_a_pools_initializer(start: str) -> None:
    queue = conveyor.Queue[int]()
    queue.put_many(range(4))
    with multiprocessing.get_context(start).Pool(1, take_source, (queue.get,)) as pool:
        assert pool.map(from_source, range(2)) == [0, 1]
        assert pool.apply(queue.get) == 2
        assert pool.apply(functools.partial(queue.get, timeout=1)) == 3
    queue.close()


class Doubling(conveyor.Queue[int]):
    """Of a subclass the subclass's arrives, also when it was asked for through super()."""

    def put(self, obj: int, block: bool = True, timeout: float | None = None) -> None:
        super().put(2 * obj, block, timeout)

    def inherited(self) -> Callable[..., Any]:
        return super().get


def test_a_subclass_keeps_its_own() -> None:
    queue = Doubling()
    pickle.loads(pickle.dumps(queue.put))(3)
    assert pickle.loads(pickle.dumps(queue.inherited()))() == 6


def test_what_stays_in_its_process_says_so() -> None:
    topic, queue = conveyor.Topic[int](), conveyor.Queue[int]()
    queue.put(1)
    with topic.subscribe() as subscription, pytest.raises(TypeError, match="pass the topic"):
        pickle.dumps(subscription.get)
    with queue.lease() as _:
        pass
    queue.put(1)
    lease = queue.lease()
    for part in (lease, lease.acknowledge, lease.release, lease.__exit__):
        with pytest.raises(TypeError, match="the lease is this process's"):
            pickle.dumps(part)
    lease.acknowledge()
