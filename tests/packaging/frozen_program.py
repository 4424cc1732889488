"""What tests/packaging/test_frozen.py freezes: children of each start method, and what is imported at first use."""

import sys
import uuid
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import conveyor
import conveyor.multiprocessing as multiprocessing
from conveyor.multiprocessing import freeze_support, shared_memory

METHODS = ("fork", "spawn", "forkserver")


class Parcel:
    def __init__(self, number: int) -> None:
        self.number = number


def work(tasks: Any, answers: Any, seen: Any, lock: Any) -> None:
    with lock, seen.update(uuid.UUID(int=1)) as value:  # a key that native code asks `_keys` about
        value.value = value.get(0) + 1
    answers.put(tasks.get().number * 2)


def double(number: int) -> int:
    return 2 * number


def processes(method: str) -> None:
    context = multiprocessing.get_context(method)
    tasks, answers, seen = context.Queue(), context.SimpleQueue(), conveyor.SharedDict()
    process = context.Process(target=work, args=(tasks, answers, seen, context.Lock()))
    process.start()
    tasks.put(Parcel(21))
    assert answers.get() == 42
    process.join()
    assert process.exitcode == 0, process.exitcode
    assert seen[uuid.UUID(int=1)] == 1


def pools(method: str) -> None:
    context = multiprocessing.get_context(method)
    with context.Pool(1) as pool:
        assert pool.map(double, [1, 2]) == [2, 4]
    with context.Manager() as manager:
        assert list(manager.list([1])) == [1]
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        assert list(executor.map(double, [1, 2])) == [2, 4]


def pipelines(method: str) -> None:
    lines = conveyor.Pipeline(range(3)).map(double, workers=1)
    assert list(lines.stream(start_method=method)) == [0, 2, 4]
    assert lines.run(start_method=method, progress=True) is not None


def installed(method: str) -> None:
    conveyor.install()
    pools(method)
    conveyor.uninstall()


def main() -> None:
    for method in METHODS:
        for part in (processes, pools, pipelines, installed):
            part(method)
        print(method, flush=True)
    lock, topic = conveyor.Lock(), conveyor.Topic()
    with lock, topic.subscribe() as events:
        topic.publish("event")
        assert events.get() == "event"
    memory = shared_memory.SharedMemory(create=True, size=1)  # starts a resource tracker
    memory.close()
    memory.unlink()
    print("done", flush=True)


if __name__ == "__main__":
    freeze_support()
    main()
    sys.exit(0)
