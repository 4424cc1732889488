"""Tensors and DataLoaders beside torch's own queues, and beside NumPy arrays; frames beside pickle alone.

    .venv/bin/python benchmarks/tensors.py [--quick] [--json] [--only WORK,...] [--rounds N]

`make test-torch` installs what it needs.

Five rounds, in each of which every rival has its turn, so that noise hits all alike; medians and the slowest round are
printed, and ratios within each round: their median, and the worst. Each side has one thread of torch's; each item is a
tensor of its own, made before; at most 8 are in a queue; the consumer drops what it gets. Bars are held by medians.
Exit code 1 if one is not met.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import pickle
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy
import torch
import torch.multiprocessing
from rounds import Run, ratio
from torch.utils.data import DataLoader, Dataset

import conveyor
import conveyor.multiprocessing

torch.set_num_threads(1)
BOUND = 8
IN_FLIGHT = 100
OURS, TORCHS = "conveyor", "torch's own"

SMALL = {f"key {number}": torch.rand(16) for number in range(20)}
ITEMS: dict[str, Any] = {
    "9.6 MB": torch.randint(0, 256, (64, 3, 224, 224), dtype=torch.uint8),
    "38 MB": torch.rand(64, 3, 224, 224),
    "1 MB": torch.rand(256, 1024),
    "20 small": SMALL,
    "20 small, NumPy": {key: tensor.numpy() for key, tensor in SMALL.items()},
}
# As many as take a good part of a second with either queue.
COUNTS = {"9.6 MB": 300, "38 MB": 60, "1 MB": 2000, "20 small": 3000, "20 small, NumPy": 3000}
TORCHS_COUNTS = {"9.6 MB": 150, "38 MB": 40, "1 MB": 800, "20 small": 400}


def copied(item: Any) -> Any:
    if isinstance(item, dict):
        return {key: copied(value) for key, value in item.items()}
    return item.clone() if isinstance(item, torch.Tensor) else item.copy()


def produce(queue: Any, name: str, count: int, allocate: bool, done: Any) -> None:
    item = ITEMS[name]
    # Each its own, made before: torch's queue moves what it gets into shared memory, and need not do so again.
    items = [] if allocate else [copied(item) for _ in range(count)]
    queue.put("made")
    for number in range(count):
        if allocate:
            place = queue.allocate_tensor(item.shape, item.dtype)
            place[0, 0, 0, 0] = number % 256
            queue.put(place)
        else:
            queue.put(items.pop())  # torch's has a descriptor for each that is kept
    done.wait()  # what is sent as a handle needs its sender


def queue_rate(make_queue: Callable[[int], Any], name: str, count: int, allocate: bool = False) -> float:
    """Items a second."""
    context = multiprocessing.get_context("fork")
    queue, done = make_queue(BOUND), context.Event()
    process = context.Process(target=produce, args=(queue, name, count, allocate, done))
    process.start()
    queue.get()
    began = time.perf_counter()
    for _ in range(count):
        queue.get()
    seconds = time.perf_counter() - began
    done.set()
    process.join()
    return count / seconds


def ours(name: str, quick: bool, allocate: bool = False) -> Callable[[], float]:
    return partial(queue_rate, conveyor.Queue, name, COUNTS[name] // (10 if quick else 1), allocate)


def torchs(name: str, quick: bool) -> Callable[[], float]:
    return partial(queue_rate, stock_queue, name, TORCHS_COUNTS[name] // (10 if quick else 1))


def stock_queue(bound: int) -> Any:
    return torch.multiprocessing.get_context("fork").Queue(bound)


# -- descriptors -----------------------------------------------------------------------------------------


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class Count:
    """Arrives as how many descriptors its sender had when it was pickled, for which torch's queue has a thread."""

    def __init__(self, counted: Any) -> None:
        self._counted = counted

    def __reduce__(self) -> Any:
        found = descriptors()
        self._counted.set()
        return int, (found,)


def fill(queue: Any, first: Any, last: Any, done: Any) -> None:
    queue.put(Count(first))
    for number in range(IN_FLIGHT):
        queue.put(torch.full((1000,), number))
    queue.put(Count(last))
    done.wait()


def open_descriptors(make_queue: Callable[[int], Any]) -> tuple[int, int]:
    """How many more a sender has while its items are in flight, and a receiver that keeps them."""
    context = multiprocessing.get_context("fork")
    queue, first, last, done = make_queue(IN_FLIGHT + 2), context.Event(), context.Event(), context.Event()
    process = context.Process(target=fill, args=(queue, first, last, done))
    process.start()
    sender_before = queue.get()
    last.wait()
    before = descriptors()
    kept = [queue.get() for _ in range(IN_FLIGHT)]
    receiver = descriptors() - before
    sender = queue.get() - sender_before
    assert [int(tensor[0]) for tensor in kept] == list(range(IN_FLIGHT))
    done.set()
    process.join()
    return sender, receiver


# -- DataLoaders -----------------------------------------------------------------------------------------


class Images(Dataset[Any]):
    """Images that are in memory already."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._images = torch.randint(0, 256, (256, 3, 224, 224), dtype=torch.uint8)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Any:
        return self._images[index % 256], index


def loader_rate(context: Any, batches_in_all: int) -> float:
    """Batches a second, of 64 images and two workers."""
    images = Images(64 * batches_in_all)
    loader = DataLoader(images, batch_size=64, num_workers=2, multiprocessing_context=context)
    batches = iter(loader)
    next(batches)
    began = time.perf_counter()
    count = sum(1 for _ in batches)
    return count / (time.perf_counter() - began)


def installed_rate(batches: int) -> float:
    conveyor.install()
    try:
        return loader_rate("fork", batches)
    finally:
        conveyor.uninstall()


# -- frames ----------------------------------------------------------------------------------------------


def frames() -> dict[str, Any]:
    """Of packages that are there."""
    found: dict[str, Any] = {}
    try:
        import polars

        numbers = numpy.random.default_rng(5).random((10, 100_000))
        found["polars, 8 MB"] = polars.DataFrame({str(place): row for place, row in enumerate(numbers)})
        found["polars, 100,000 texts"] = polars.DataFrame(
            {"a": [f"the text of row {n}" for n in range(100_000)]}
        )
    except ImportError:
        pass
    try:
        os.environ.setdefault("JAX_PLATFORMS", "cpu")
        import jax

        found["JAX, 9.6 MB"] = jax.numpy.ones((64, 3, 224, 112), "bfloat16")
    except ImportError:
        pass
    return found


def through_a_queue(item: Any, count: int) -> float:
    """Items a second, in this process."""
    queue: Any = conveyor.Queue()
    began = time.perf_counter()
    for _ in range(count):
        queue.put(item)
        queue.get()
    return count / (time.perf_counter() - began)


def through_pickle(item: Any, count: int) -> float:
    began = time.perf_counter()
    for _ in range(count):
        pickle.loads(pickle.dumps(item, 5))
    return count / (time.perf_counter() - began)


# -- the works -------------------------------------------------------------------------------------------


def judge(run: Run, work: str, samples: dict[str, list[float]], one: str, other: str, least: float) -> None:
    ratios = [a / b for a, b in zip(samples[one], samples[other], strict=True)]
    found = ratio(samples[one], samples[other])
    run.judge(
        f"{work}: {one} to {other}",
        f">= {least:g}x",
        f"{found:.2f}x, worst {min(ratios):.2f}x",
        found >= least,
    )


def measured(run: Run, title: str, rivals: dict[str, Callable[[], float]]) -> dict[str, list[float]]:
    samples = run.measure(title, "/s", rivals)
    for name, values in samples.items():
        if values:
            run.say(
                f"     {name:<28} median {statistics.median(values):10,.0f}/s, worst {min(values):10,.0f}/s"
            )
    return samples


def do_batch(run: Run) -> None:
    name, allocating = "9.6 MB", "conveyor, allocate_tensor"
    title = "64 x 3 x 224 x 224, uint8, 9.6 MB"
    samples = measured(
        run,
        title,
        {
            OURS: ours(name, run.quick),
            allocating: ours(name, run.quick, allocate=True),
            TORCHS: torchs(name, run.quick),
        },
    )
    judge(run, name, samples, OURS, TORCHS, 6)
    judge(run, name, samples, allocating, TORCHS, 10)


def do_floats(run: Run) -> None:
    rivals = {OURS: ours("38 MB", run.quick), TORCHS: torchs("38 MB", run.quick)}
    judge(run, "38 MB", measured(run, "the same, float32, 38 MB", rivals), OURS, TORCHS, 3)


def do_megabyte(run: Run) -> None:
    rivals = {OURS: ours("1 MB", run.quick), TORCHS: torchs("1 MB", run.quick)}
    judge(run, "1 MB", measured(run, "256 x 1024, float32, 1 MB", rivals), OURS, TORCHS, 5)


def do_small(run: Run) -> None:
    arrays = "conveyor, NumPy arrays"
    rivals = {
        OURS: ours("20 small", run.quick),
        arrays: ours("20 small, NumPy", run.quick),
        TORCHS: torchs("20 small", run.quick),
    }
    samples = measured(run, "a dict of 20 small ones", rivals)
    judge(run, "20 small", samples, OURS, TORCHS, 12)
    judge(run, "20 small", samples, OURS, arrays, 0.6)


def do_descriptors(run: Run) -> None:
    run.say(f"\n{IN_FLIGHT} items in flight, and then kept by their receiver: more descriptors")
    found = {name: open_descriptors(make) for name, make in ((OURS, conveyor.Queue), (TORCHS, stock_queue))}
    for name, (sender, receiver) in found.items():
        run.say(f"  {name:<24} sender {sender:4}, receiver {receiver:4}")
    most = max(found[OURS])
    run.judge("descriptors", "0", f"{most}", most == 0)


def do_loader(run: Run) -> None:
    batches = 30 if run.quick else 120
    context, installed = "conveyor, by context", "conveyor, by install()"
    rivals = {
        context: partial(loader_rate, conveyor.multiprocessing.get_context("fork"), batches),
        installed: partial(installed_rate, batches),
        TORCHS: partial(loader_rate, multiprocessing.get_context("fork"), batches),
    }
    samples = measured(run, "DataLoader, 2 workers, batches of 64 images from memory", rivals)
    judge(run, "DataLoader", samples, context, TORCHS, 3)
    judge(run, "DataLoader", samples, installed, TORCHS, 3)


def do_frames(run: Run) -> None:
    for title, item in frames().items():
        count = 10 if run.quick else 50
        rivals = {
            OURS: partial(through_a_queue, item, count),
            "pickle alone": partial(through_pickle, item, count),
        }
        judge(run, title, measured(run, title, rivals), OURS, "pickle alone", 2)


# JAX has threads, beside which no process should be forked: frames come last.
WORKS: dict[str, Callable[[Run], None]] = {
    "batch": do_batch,
    "floats": do_floats,
    "megabyte": do_megabyte,
    "small": do_small,
    "descriptors": do_descriptors,
    "loader": do_loader,
    "frames": do_frames,
}


def main() -> None:
    """Measure, and say which bars are met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer items and two rounds: a first look")
    parser.add_argument("--json", action="store_true", help="print figures and bars as JSON")
    parser.add_argument("--only", default=",".join(WORKS), help=f"some of {','.join(WORKS)}")
    parser.add_argument("--rounds", type=int, help="how often each has its turn; without it 5")
    options = parser.parse_args()
    wanted = options.only.split(",")
    if unknown := [name for name in wanted if name not in WORKS]:
        parser.error(f"--only has {unknown[0]!r}; it must be some of {', '.join(WORKS)}")
    run = Run(options.rounds or (2 if options.quick else 5), options.quick, options.json)
    run.say(
        f"torch {torch.__version__}, NumPy {numpy.__version__}, {run.rounds} rounds, {BOUND} items at most in a queue"
    )
    for name in sorted(wanted, key=list(WORKS).index):
        WORKS[name](run)
    if options.json:
        print(json.dumps({"figures": run.figures, "bars": [asdict(bar) for bar in run.bars]}, indent=2))
    run.say(f"\n{sum(bar.met for bar in run.bars)} of {len(run.bars)} bars met")
    sys.exit(not all(bar.met for bar in run.bars))


if __name__ == "__main__":
    main()
