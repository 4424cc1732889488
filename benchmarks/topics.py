"""Topics against what one does without: one multiprocessing.Queue for each subscriber.

    python benchmarks/topics.py [--json] [--events N] [--runs N]

Each figure is the median of the runs, which alternate between the two. Small events are tuples of three; the cost of
a publish is the publisher's own processor time, taken while it is not held up (subscribers that may be overrun), so
that it tells what sixteen subscribers cost the publisher, and not how long they take to read on two processors.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from conveyor import Queue, Topic

MIB = 2**20
COUNTS = (1, 4, 16)
CONTEXT = multiprocessing.get_context("fork")


def read_topic(topic: Topic[Any], when_slow: Any, ready: Any) -> None:
    """Read until the end."""
    with topic.subscribe(when_slow=when_slow) as events:
        ready.release()
        for event in events:
            if isinstance(event, np.ndarray):
                event[0]


def read_queue(queue: Any, ready: Any) -> None:
    """Read until the end, which is None."""
    ready.release()
    while (event := queue.get()) is not None:
        if isinstance(event, np.ndarray):
            event[0]


def running(work: Callable[..., None], arguments: list[tuple[Any, ...]], ready: Any) -> list[Any]:
    """Processes that have said that they are ready."""
    processes = [CONTEXT.Process(target=work, args=each) for each in arguments]
    for process in processes:
        process.start()
    for _ in processes:
        ready.acquire()
    return processes


def by_topic(events: list[Any], subscribers: int, when_slow: str = "block") -> tuple[float, float, int]:
    """Seconds until all have read all, seconds of the publisher's processor for each, and bytes of memory."""
    topic: Topic[Any] = Topic(max_bytes=64 * MIB if isinstance(events[0], np.ndarray) else 4 * MIB)
    ready = CONTEXT.Semaphore(0)
    processes = running(read_topic, [(topic, when_slow, ready)] * subscribers, ready)
    publish = topic.publish
    begun, worked = time.perf_counter(), time.thread_time()
    for event in events:
        publish(event)
    worked = time.thread_time() - worked
    topic.shutdown()
    for process in processes:
        process.join()
    return time.perf_counter() - begun, worked / len(events), topic.statistics().memory_held


def by_queues(events: list[Any], subscribers: int) -> float:
    """Seconds until all have read all."""
    queues: list[Any] = [CONTEXT.Queue() for _ in range(subscribers)]
    ready = CONTEXT.Semaphore(0)
    processes = running(read_queue, [(queue, ready) for queue in queues], ready)
    begun = time.perf_counter()
    for event in events:
        for queue in queues:
            queue.put(event)
    for queue in queues:
        queue.put(None)
    for process in processes:
        process.join()
    return time.perf_counter() - begun


def deliveries(count: int, runs: int) -> dict[str, Any]:
    """Small events: deliveries a second, and what a publish costs the publisher."""
    found: dict[str, Any] = {}
    costs = {}
    for subscribers in COUNTS:
        mine = [("item", number, 2.5) for number in range(count)]
        theirs = mine[: max(count // 20 // subscribers, 500)]
        topic, queues, cost = [], [], []
        for _ in range(runs):
            topic.append(len(mine) * subscribers / by_topic(mine, subscribers)[0])
            queues.append(len(theirs) * subscribers / by_queues(theirs, subscribers))
            cost.append(by_topic(mine, subscribers, "drop_oldest")[1])
        costs[subscribers] = statistics.median(cost)
        found[f"{subscribers} subscribers"] = {
            "topic_per_second": statistics.median(topic),
            "queues_per_second": statistics.median(queues),
            "ratio": statistics.median(topic) / statistics.median(queues),
            "publish_cost_ns": costs[subscribers] * 1e9,
        }
    found["cost at 16 / cost at 1"] = costs[16] / costs[1]
    return found


def arrays(runs: int) -> dict[str, Any]:
    """Arrays of 8 MiB to four subscribers."""
    event = np.arange(MIB, dtype=np.int64)
    topic, queues = [], []
    for _ in range(runs):
        topic.append(4 * 100 / by_topic([event] * 100, 4)[0])
        queues.append(4 * 10 / by_queues([event] * 10, 4))
    _, _, one_copy = by_topic([event], 4)
    return {
        "topic_per_second": statistics.median(topic),
        "queues_per_second": statistics.median(queues),
        "ratio": statistics.median(topic) / statistics.median(queues),
        "memory_after_one_bytes": one_copy,
    }


def answer_topic(asks: Topic[Any], answers: Topic[Any], ready: Any) -> None:
    """Send back what comes."""
    with asks.subscribe() as events:
        ready.release()
        for event in events:
            answers.publish(event)


def answer_queue(asks: Queue[Any], answers: Queue[Any], ready: Any) -> None:
    """Send back what comes."""
    ready.release()
    for event in asks:
        answers.put(event)


def half_round_trip(rounds: int, kind: str) -> float:
    """Median of half a round trip, in seconds."""
    ready = CONTEXT.Semaphore(0)
    times = []
    asks: Any
    answers: Any
    if kind == "topic":
        asks, answers = Topic(), Topic()
        subscription = answers.subscribe()
        send, receive = asks.publish, subscription.get
        (process,) = running(answer_topic, [(asks, answers, ready)], ready)
    else:
        asks, answers = Queue(), Queue()
        send, receive = asks.put, answers.get
        (process,) = running(answer_queue, [(asks, answers, ready)], ready)
    for number in range(rounds):
        begun = time.perf_counter()
        send(("item", number, 2.5))
        receive()
        times.append(time.perf_counter() - begun)
    asks.shutdown()
    process.join()
    return statistics.median(times) / 2


def latency(runs: int) -> dict[str, float]:
    """From publish to receive, against the queue."""
    topic = statistics.median(half_round_trip(5000, "topic") for _ in range(runs))
    queue = statistics.median(half_round_trip(5000, "queue") for _ in range(runs))
    return {"topic_us": topic * 1e6, "queue_us": queue * 1e6, "ratio": topic / queue}


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(
        description="Topics against one multiprocessing.Queue for each subscriber."
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--events", type=int, default=100_000, help="small events for each run")
    parser.add_argument("--runs", type=int, default=3, help="runs of each")
    options = parser.parse_args()
    found = {
        "small": deliveries(options.events, options.runs),
        "arrays": arrays(options.runs),
        "latency": latency(options.runs),
    }
    if options.json:
        print(json.dumps(found))
        return
    small = found["small"]
    for subscribers in COUNTS:
        row = small[f"{subscribers} subscribers"]
        print(
            f"small tuple to {subscribers:2} subscribers: {row['topic_per_second']:12,.0f} deliveries/s, queues "
            f"{row['queues_per_second']:9,.0f}: {row['ratio']:5.1f}x; a publish costs {row['publish_cost_ns']:,.0f} ns"
        )
    print(f"a publish at 16 subscribers costs {small['cost at 16 / cost at 1']:.2f}x that at 1")
    row = found["arrays"]
    print(
        f"8 MiB array to 4 subscribers: {row['topic_per_second']:,.0f} deliveries/s, queues "
        f"{row['queues_per_second']:,.1f}: {row['ratio']:.0f}x; memory after one: "
        f"{row['memory_after_one_bytes'] / MIB:.1f} MiB"
    )
    row = found["latency"]
    print(
        f"publish to receive, p50: {row['topic_us']:.1f} us; the queue {row['queue_us']:.1f} us: {row['ratio']:.2f}x"
    )


if __name__ == "__main__":
    main()
