"""Reading instances runs the program's code: what that sees, does and raises is as with pickle, and nothing is lost."""

from __future__ import annotations

import gc
import importlib
import pickle
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import instance_classes as classes
import pytest
from codec_values import same, through_pickle, through_queue
from instance_classes import Free, Pair, Record, SlowHash, Watcher

import conveyor
from conveyor._native import _decode_instances, _encode_instances


@pytest.fixture(autouse=True)
def unseen() -> Iterator[None]:
    yield
    Watcher.seen = None


def encoded(item: Any) -> bytes:
    made = _encode_instances(item)
    assert made is not None
    return made


def outcome(action: Callable[[], Any]) -> Any:
    try:
        return action()
    except Exception as error:
        return type(error), str(error)


def watched(item: Any, seen: Callable[[Any, Any, list[Any]], None]) -> None:
    """Whether the code that runs meanwhile sees the same, read by pickle and by us."""
    told: list[list[Any]] = []
    made = encoded(item)
    for read in (lambda: through_pickle(item), lambda: _decode_instances(made)):
        told.append([])
        Watcher.seen = lambda self, state: seen(self, state, told[-1])
        told[-1].append(outcome(read))
        Watcher.seen = None
    expected, received = told
    if isinstance(expected[-1], tuple) and isinstance(expected[-1][0], type):
        assert received == expected
    else:
        same(received, expected)
    assert len(expected) > 1


# ---- what is half made


@pytest.mark.parametrize("size", [1, 2, 3, 999, 1000, 1001, 2500])
def test_a_list_is_seen_as_with_pickle(size: int) -> None:
    item: list[Any] = []
    item += [Watcher(item) if number in (0, size // 2, size - 1) else number for number in range(size)]
    watched(item, lambda self, state, told: told.append(len(state["things"][0])))


@pytest.mark.parametrize("size", [1, 2, 3, 999, 1000, 1001, 2500])
def test_a_dict_is_seen_as_with_pickle(size: int) -> None:
    item: dict[Any, Any] = {}
    for number in range(size):
        item[number] = Watcher(item) if number in (0, size // 2, size - 1) else number
    watched(item, lambda self, state, told: told.append(len(state["things"][0])))


def test_a_dict_of_a_shape_is_seen_as_with_pickle() -> None:
    item: dict[Any, Any] = {"first": 1, "seen by": None, "last": [2]}
    item["seen by"] = Watcher(item)
    for _ in range(3):  # a shape from the second on
        encoded(item)

    def seen(self: Any, state: Any, told: list[Any]) -> None:
        held = state["things"][0]
        told.append(dict(held))
        held["put before"] = 3
        held["last"] = 4

    watched(item, seen)


@pytest.mark.parametrize("kind", [set, frozenset])
def test_a_set_inside_itself_goes_to_pickle(kind: type[Any]) -> None:
    held = Free(key=1)
    held.me = kind([held, 2])
    assert _encode_instances(held.me) is None
    assert _encode_instances(held) is not None
    same(through_queue(held.me), through_pickle(held.me))
    same(through_queue(held), through_pickle(held))


def test_an_instance_is_seen_without_attributes() -> None:
    item = Free(first=1)
    item.watcher, item.last = Watcher(item), 2
    watched(item, lambda self, state, told: told.append(dict(vars(state["things"][0]))))


def test_slots_are_seen_empty() -> None:
    with_slots = classes.SlotsAndDict(outer=1)
    pickle.dumps(with_slots)
    with_slots.watcher = Watcher(with_slots)
    watched(with_slots, lambda self, state, told: told.append(hasattr(state["things"][0], "outer")))


def test_a_named_tuple_is_seen_whole() -> None:
    item = classes.Marked(1, [2])
    item.watcher = Watcher(item)
    watched(
        item,
        lambda self, state, told: told.append((list(state["things"][0]), dict(vars(state["things"][0])))),
    )


@pytest.mark.parametrize("holder", ["dict", "set", "frozenset", "after"])
def test_what_is_hashed_before_it_is_whole(holder: str) -> None:
    """As with pickle: its hash has no attribute to go by, or has it."""
    item = SlowHash(key="k")
    if holder == "dict":
        item.held = {item: 1}
    elif holder == "after":
        vars(item).clear()
        item.others = {Pair(1, "x"): item}
        item.key = "k"
        item = [item, {item: 2}]  # type: ignore[assignment]
    else:
        item.held = {item} if holder == "set" else frozenset([item])
    expected = outcome(lambda: through_pickle(item))
    received = outcome(lambda: _decode_instances(encoded(item)))
    if holder == "after":
        assert received[0] in received[1]
        assert expected[0] in expected[1]
    else:
        assert expected == received
        assert expected[0] is AttributeError


# ---- what is let go of, and changed


def test_what_a_state_held_outlives_it() -> None:
    """`__setstate__` lets go of all; what later references name is still there."""
    shared = [Free(value=[1, 2]), {"key": ("t", [3])}, "some text" * 3]
    item = [Watcher(shared, Watcher(shared[0])), shared[1], shared[0], shared]
    for _ in range(20):
        Watcher.seen = lambda self, state: (state.clear(), gc.collect())
        same(_decode_instances(encoded(item))[1:], through_pickle(item)[1:])


def test_what_is_made_is_let_go_of_at_the_end() -> None:
    item = [Watcher(Free(a=[1])), Free(b=2)]
    item.append(item[1])
    alive: list[Any] = []
    Watcher.seen = lambda self, state: alive.append(weakref.ref(state["things"][0]))
    received = _decode_instances(encoded(item))
    assert alive[0]() is None
    second = weakref.ref(received[1])
    del received
    assert second() is None


def test_containers_that_are_changed_meanwhile() -> None:
    item: Any = [1, 2]
    table: dict[str, Any] = {"a": 1}
    free = Free(one=1)
    item += [Watcher(item, table, free), 3, table, free]
    table["watcher"] = Watcher(item, table, free)
    free.watcher = Watcher(item, table, free)

    def change(self: Any, state: Any, told: list[Any]) -> None:
        numbers, its_table, its_free = state["things"]
        told.append([repr(numbers), sorted(its_table), sorted(vars(its_free))])
        numbers += ["added", "too"]
        its_table["added"] = 1
        its_free.added = 1
        gc.collect()

    watched(item, change)


def test_a_reader_in_a_reader() -> None:
    queue: conveyor.Queue[Any] = conveyor.Queue()
    inner = encoded([Free(**{f"name{i}": i}) for i in range(600)])  # pushes other layouts out of what is kept

    def again(self: Any, state: Any) -> None:
        Watcher.seen = None
        for _ in range(3):
            assert len(_decode_instances(inner)) == 600
        queue.put(Record(1, "inner", 0.5, True))
        assert queue.get() == Record(1, "inner", 0.5, True)
        gc.collect()

    Watcher.seen = again
    item = [Record(1, "x", 0.5, True), Watcher(), Record(2, "y", 0.25, False, place=[Free(a=1)])]
    made = encoded(item)
    received = _decode_instances(made)
    assert [received[0], received[2].number, received[2].place[0].a] == [item[0], 2, 1]


def test_a_class_that_changes_between_items_that_are_read() -> None:
    """What was known of it for the last one holds no longer: a property, then none, then another class of the name."""
    made = encoded(Free(a=1))
    for _ in range(3):
        assert vars(_decode_instances(made)) == {"a": 1}
        Free.a = property(lambda self: "of the property")  # type: ignore[attr-defined]
        try:
            received = _decode_instances(made)
        finally:
            del Free.a  # type: ignore[attr-defined]
        assert received.a == 1
        kept = classes.Free
        classes.Free = classes.RestoredBoth  # type: ignore[assignment, misc]
        try:
            assert _decode_instances(made).restored == ["of a", 1]
        finally:
            classes.Free = kept  # type: ignore[misc]


def test_a_class_that_changes_while_an_item_is_read() -> None:
    def set_late(self: Any, state: Any) -> None:
        Free.__setstate__ = lambda self, state: vars(self).update(late=state)  # type: ignore[attr-defined]

    Watcher.seen = set_late
    try:
        first, _, second = _decode_instances(encoded([Free(a=1), Watcher(), Free(a=2)]))
    finally:
        del Free.__setstate__  # type: ignore[attr-defined]
    assert vars(first) == {"a": 1}
    assert vars(second) == {"late": {"a": 2}}


def test_the_garbage_collector_shows_nothing_that_is_half_made() -> None:
    item = [
        [Watcher(), "mark", (Watcher(), "mark")],
        Pair(Watcher(), {"k": Watcher()}),
        frozenset([Watcher()]),
    ]
    looks = 0

    def look(self: Any, state: Any) -> None:
        nonlocal looks
        looks += 1
        for each in gc.get_objects():
            if type(each) in (list, tuple, Pair) and len(each) in (2, 3):
                assert all(sys.getrefcount(part) > 0 for part in each)

    Watcher.seen = look
    for watcher in (item[0][0], item[0][2][0], item[1][0], item[1][1]["k"], *item[2]):  # type: ignore[index]
        watcher.things = (1,)
    assert len(_decode_instances(encoded(item))) == 3
    assert looks == 5


# ---- what raises


class TestUnreadable:
    """It is the error that pickle gives, with bytes that pickle can read where that is cured."""

    def received(self, queue: conveyor.Queue[Any], expected: type[Exception]) -> Any:
        with pytest.raises(expected) as caught:
            queue.get()
        error: Any = caught.value
        assert "its" in error.__notes__[0]
        assert error.buffers == []
        return error

    def test_the_class_is_not_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        queue: conveyor.Queue[Any] = conveyor.Queue()
        item = [Record(1, "x", 0.5, True), Free(a=1)]
        queue.put_many([1, item, 2])
        queue.put(item)
        by_pickle = pickle.dumps(item)
        with monkeypatch.context() as patched:
            patched.delattr(classes, "Free")
            assert queue.get_many() == [1, 2]
            error = self.received(queue, AttributeError)
            assert outcome(lambda: pickle.loads(by_pickle)) == (AttributeError, str(error))
            assert outcome(lambda: pickle.loads(error.raw)) == (AttributeError, str(error))
            also = self.received(queue, AttributeError)
        same(pickle.loads(error.raw), through_pickle(item))
        same(pickle.loads(also.raw, buffers=also.buffers), through_pickle(item))

    def test_the_module_is_not_there(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        queue: conveyor.Queue[Any] = conveyor.Queue()
        monkeypatch.syspath_prepend(tmp_path)
        source = tmp_path / "instances_elsewhere.py"
        source.write_text("class Thing: pass\n")
        module = importlib.import_module("instances_elsewhere")
        thing = module.Thing()
        thing.value = [1]
        queue.put_many([thing, thing, thing])
        del sys.modules["instances_elsewhere"]
        source.rename(tmp_path / "hidden")
        importlib.invalidate_caches()
        error = self.received(queue, ModuleNotFoundError)
        source.write_text("1 / 0\n")
        importlib.invalidate_caches()
        self.received(queue, ZeroDivisionError)
        source.write_text("class Thing:\n    imported_again = True\n")
        importlib.invalidate_caches()
        received = queue.get()  # imports it
        assert (received.value, received.imported_again) == ([1], True)
        assert pickle.loads(error.raw).value == [1]
        sys.modules.pop("instances_elsewhere")

    @pytest.mark.parametrize("instead", [7, len, None, "text", type("No", (), {"__new__": None})])
    def test_the_name_leads_to_something_else(self, instead: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        queue: conveyor.Queue[Any] = conveyor.Queue()
        queue.put(Free(a=1))
        by_pickle = pickle.dumps(Free(a=1))
        monkeypatch.setattr(classes, "Free", instead)
        expected = outcome(lambda: pickle.loads(by_pickle))
        error = self.received(queue, expected[0])
        assert expected == (type(error), str(error))

    def test_another_class_of_the_name_is_taken(self, monkeypatch: pytest.MonkeyPatch) -> None:
        queue: conveyor.Queue[Any] = conveyor.Queue()
        queue.put_many([Free(a=1), classes.Several([1, 2]), classes.Point(1, 2)])
        monkeypatch.setattr(classes, "Free", Record)
        monkeypatch.setattr(classes, "Several", list)
        monkeypatch.setattr(classes, "Point", tuple)
        received = queue.get_many(2)
        assert type(received[0]) is Record
        assert vars(received[0]) == {"a": 1}
        assert received[1] == [1, 2] or received[1] == []
        with pytest.raises(TypeError, match="expected at most 1"):
            queue.get()

    def test_it_cannot_be_made(self) -> None:
        queue: conveyor.Queue[Any] = conveyor.Queue()
        item = classes.Needy(1)
        queue.put(item)
        error = self.received(queue, TypeError)
        assert outcome(lambda: through_pickle(item)) == (TypeError, str(error))

    def test_it_is_abstract_here(self, monkeypatch: pytest.MonkeyPatch) -> None:
        queue: conveyor.Queue[Any] = conveyor.Queue()
        queue.put(classes.Square(1))
        monkeypatch.setattr(classes, "Square", classes.Shape)
        self.received(queue, TypeError)

    def test_it_has_no_place_for_its_attributes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        queue: conveyor.Queue[Any] = conveyor.Queue()
        queue.put(Free(a=1))
        by_pickle = pickle.dumps(Free(a=1))
        monkeypatch.setattr(classes, "Free", type("Free", (), {"__slots__": ()}))
        error = self.received(queue, AttributeError)
        assert outcome(lambda: pickle.loads(by_pickle)) == (AttributeError, str(error))

    def test_its_setstate_raises(self) -> None:
        queue: conveyor.Queue[Any] = conveyor.Queue()

        def fail(self: Any, state: Any) -> None:
            raise LookupError("not today")

        for item in (
            [1, Watcher()],
            {"k": (1, Watcher())},
            {Watcher()},
            frozenset([Watcher()]),
            Pair(Watcher(), 1),
        ):
            queue.put(item)
            queue.put("next")
            Watcher.seen = fail
            error = self.received(queue, LookupError)
            Watcher.seen = None
            assert queue.get() == "next"
            assert type(pickle.loads(error.raw)) is type(item)

    def test_ctrl_c_while_it_is_read(self) -> None:
        queue: conveyor.Queue[Any] = conveyor.Queue()
        queue.put_many([1, Watcher(), 2])

        def interrupt(self: Any, state: Any) -> None:
            raise KeyboardInterrupt

        Watcher.seen = interrupt
        with pytest.raises(KeyboardInterrupt) as caught:
            queue.get_many()
        assert caught.value.items_received == [1, 2]  # type: ignore[attr-defined]

    def test_a_lease_of_it_goes_to_the_dead_letters(self, monkeypatch: pytest.MonkeyPatch) -> None:
        dead: conveyor.Queue[Any] = conveyor.Queue()
        queue: conveyor.Queue[Any] = conveyor.Queue(max_attempts=1, dead_letters=dead)
        queue.put(Free(a=1))
        with monkeypatch.context() as patched:
            patched.delattr(classes, "Free")
            with pytest.raises(AttributeError), queue.lease(timeout=5):
                pass
            with pytest.raises(conveyor.Empty):
                queue.get(timeout=0)
            letter = dead.get(timeout=5)
        assert vars(pickle.loads(letter.raw)) == {"a": 1}

    def test_an_event(self, monkeypatch: pytest.MonkeyPatch) -> None:
        topic: conveyor.Topic[Any] = conveyor.Topic()
        with topic.subscribe() as events:
            topic.publish(Free(a=1))
            topic.publish_many([Free(a=2), 3, Free(a=4)])
            with monkeypatch.context() as patched:
                patched.delattr(classes, "Free")
                with pytest.raises(AttributeError) as caught:
                    events.get(timeout=5)
            assert vars(pickle.loads(caught.value.raw)) == {"a": 1}  # type: ignore[attr-defined]
            assert events.get(timeout=5).a == 2
            assert events.get(timeout=5) == 3
            assert events.get(timeout=5).a == 4


@pytest.mark.parametrize("read_before", [False, True])
def test_a_module_that_another_thread_imports_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read_before: bool
) -> None:
    (tmp_path / "late_module.py").write_text(
        "import builtins\n"
        "class Late:\n"
        "    def __init__(self): self.a = 1\n"
        "    def __setstate__(self, state): self.a = LATER\n"
        "getattr(builtins, 'pause_late_module', lambda: None)()\n"
        "LATER = 2\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    item = encoded(importlib.import_module("late_module").Late())
    if read_before:  # what is known of a module that is there says nothing of the next one
        assert _decode_instances(item).a == 2
        assert _decode_instances(item).a == 2
    begun = threading.Event()
    monkeypatch.setattr("builtins.pause_late_module", lambda: (begun.set(), time.sleep(0.3)), raising=False)
    monkeypatch.delitem(sys.modules, "late_module")
    importing = threading.Thread(target=importlib.import_module, args=("late_module",))
    importing.start()
    assert begun.wait(20)
    assert _decode_instances(item).a == 2
    importing.join()


def test_an_audit_hook_hears_of_the_class() -> None:
    code = (
        "import sys, conveyor, instance_classes\n"
        "queue = conveyor.Queue()\n"
        "queue.put([instance_classes.Free(a=1), instance_classes.Free(a=2)])\n"
        "heard = []\n"
        "def hook(event, arguments):\n"
        "    if event == 'pickle.find_class':\n"
        "        heard.append(arguments)\n"
        "        if len(heard) == 2: raise PermissionError('no')\n"
        "sys.addaudithook(hook)\n"
        "queue.get()\n"
        "assert heard == [('instance_classes', 'Free')], heard\n"
        "queue.put(instance_classes.Free())\n"
        "try: queue.get()\n"
        "except PermissionError as error: assert error.raw\n"
        "else: raise SystemExit('was read')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_classes_of_the_program_itself(method: str, tmp_path: Path) -> None:
    """`__main__` there is `__mp_main__` here, and the other way round."""
    (tmp_path / "program.py").write_text(
        "import dataclasses, typing\n"
        "import conveyor.multiprocessing as multiprocessing\n"
        "from conveyor._native import _encode_instances\n"
        "@dataclasses.dataclass\n"
        "class Job:\n"
        "    number: int\n"
        "    more: typing.Any\n"
        "class Place(typing.NamedTuple):\n"
        "    east: int\n"
        "def work(jobs, results):\n"
        "    job = jobs.get()\n"
        "    assert type(job) is Job and type(job.more) is Place, job\n"
        "    assert _encode_instances(job)\n"
        "    results.put(Job(job.number + 1, [job, job]))\n"
        "if __name__ == '__main__':\n"
        f"    context = multiprocessing.get_context({method!r})\n"
        "    jobs, results = context.Queue(), context.Queue()\n"
        "    process = context.Process(target=work, args=(jobs, results))\n"
        "    process.start()\n"
        "    assert _encode_instances(Job(1, Place(2)))\n"
        "    jobs.put(Job(1, Place(2)))\n"
        "    received = results.get(timeout=60)\n"
        "    process.join()\n"
        "    assert received == Job(2, [Job(1, Place(2))] * 2), received\n"
        "    assert received.more[0] is received.more[1]\n"
    )
    done = subprocess.run(
        [sys.executable, tmp_path / "program.py"], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr


def test_shared_dicts_and_lists() -> None:
    table: conveyor.SharedDict[Any, Any] = conveyor.SharedDict()
    items: conveyor.SharedList[Any] = conveyor.SharedList([Free(a=1), 2])
    table["k"] = [Record(1, "x", 0.5, True)]
    table[Pair(1, "two")] = Pair([], 3)
    assert table["k"] == [Record(1, "x", 0.5, True)]
    assert table.pop(Pair(1, "two")) == Pair([], 3)
    assert items[0].a == 1
    assert type(items.pop(0)) is Free


def test_a_value_that_cannot_be_read_stays_in_its_dict(monkeypatch: pytest.MonkeyPatch) -> None:
    table: conveyor.SharedDict[str, Any] = conveyor.SharedDict()
    items: conveyor.SharedList[Any] = conveyor.SharedList([Free(a=1)])
    table["k"] = Free(a=1)
    with monkeypatch.context() as patched:
        patched.delattr(classes, "Free")
        for take in (lambda: table.pop("k"), table.popitem, items.pop):
            with pytest.raises(AttributeError):
                take()
    assert table.pop("k").a == 1
    assert items.pop().a == 1


def test_a_key_that_would_run_code_is_not_for_a_dict_with_a_codec() -> None:
    table: conveyor.SharedDict[Any, Any] = conveyor.SharedDict(codec="json")
    with pytest.raises(TypeError, match="which only pickle can carry"):
        table[Pair(1, 2)] = 1


def test_a_pipe_gives_bytes_that_pickle_reads() -> None:
    ours, theirs = conveyor.Pipe()
    with ours, theirs:
        ours.send(Record(1, "x", 0.5, True))
        assert pickle.loads(theirs.recv_bytes()) == Record(1, "x", 0.5, True)
        ours.send(Record(2, "x", 0.5, True))
        assert theirs.recv() == Record(2, "x", 0.5, True)


@pytest.mark.parametrize("size", [1, 2000])
def test_who_passes_bytes_on_needs_no_classes(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    item = [Watcher(number) for number in range(size)]
    ran: list[Any] = []
    Watcher.seen = lambda self, state: ran.append(state)
    (ours, theirs), (further, last) = conveyor.Pipe(), conveyor.Pipe()
    with ours, theirs, further, last:
        ours.send(item)
        with monkeypatch.context() as patched:
            patched.delattr(classes, "Watcher")
            further.send_bytes(theirs.recv_bytes())
        assert not ran
        assert len(last.recv()) == len(ran) == size


@pytest.mark.parametrize("size", [1, 20, 2000])
def test_large_items(size: int) -> None:
    """In the message, and in pages of their own."""
    item = [Record(number, "name" * 10, 0.5, True, Free(a=[number])) for number in range(size)]
    same(through_queue(item), through_pickle(item))
    topic: conveyor.Topic[Any] = conveyor.Topic()
    with topic.subscribe() as events:
        topic.publish(item)
        same(events.get(timeout=5), through_pickle(item))
