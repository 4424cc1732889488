"""What tests/packaging/test_frozen.py freezes: children of each start method, and what is imported at first use."""

import sys
import uuid

import conveyor
import conveyor.multiprocessing as multiprocessing


class Parcel:
    def __init__(self, number: int) -> None:
        self.number = number


def work(tasks: "conveyor.Queue[Parcel]", answers: "conveyor.SimpleQueue[int]", seen: "conveyor.SharedDict") -> None:
    with seen.update(uuid.UUID(int=1)) as value:  # a key that native code asks `_keys` about
        value.value = value.get(0) + 1
    answers.put(tasks.get().number * 2)


def double(number: int) -> int:
    return 2 * number


def main() -> None:
    for method in ("fork", "spawn", "forkserver"):
        context = multiprocessing.get_context(method)
        tasks, answers, seen = context.Queue(), context.SimpleQueue(), conveyor.SharedDict()
        process = context.Process(target=work, args=(tasks, answers, seen))
        process.start()
        tasks.put(Parcel(21))
        assert answers.get() == 42
        process.join()
        assert process.exitcode == 0, process.exitcode
        assert seen[uuid.UUID(int=1)] == 1
        with context.Pool(1) as pool:
            assert pool.map(double, [1, 2]) == [2, 4]
        print(method, flush=True)
    lock, topic = conveyor.Lock(), conveyor.Topic()
    with lock, topic.subscribe() as events:
        topic.publish("event")
        assert events.get() == "event"
    for method in ("fork", "spawn", "forkserver"):
        assert list(conveyor.Pipeline(range(3)).map(double, workers=1).stream(start_method=method)) == [0, 2, 4]
    print("done", flush=True)


if __name__ == "__main__":
    multiprocessing.freeze_support()
    main()
    sys.exit(0)
