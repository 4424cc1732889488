"""Tensors of torch's from one process to another, and DataLoaders: beside torch's own, and beside NumPy arrays.

    python benchmarks/tensors.py          # as root or not; needs torch: make test-torch
    python benchmarks/tensors.py 9 small  # nine rounds, only what has `small` in its name

Rounds are interleaved; ratios are of medians, with the worst pair of rounds in brackets. Each side has one thread of
torch's; each item is a tensor of its own, made before; the consumer drops what it gets.
"""

from __future__ import annotations

import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy
import torch
import torch.multiprocessing
from torch.utils.data import DataLoader, Dataset

import conveyor
import conveyor.multiprocessing

torch.set_num_threads(1)
BOUND = 8
BARS = {
    "9.6 MB": 6.0,
    "38 MB": 3.0,
    "1 MB": 5.0,
    "20 small": 12.0,
    "20 small, to NumPy": 0.6,
    "9.6 MB, allocate_tensor": 10.0,
    "DataLoader, by context": 3.0,
    "DataLoader, by install()": 3.0,
}

SMALL = {f"key {number}": torch.rand(16) for number in range(20)}
ITEMS: dict[str, Any] = {
    "9.6 MB": torch.randint(0, 256, (64, 3, 224, 224), dtype=torch.uint8),
    "38 MB": torch.rand(64, 3, 224, 224),
    "1 MB": torch.rand(256, 1024),
    "20 small": SMALL,
    "20 small, NumPy": {key: tensor.numpy() for key, tensor in SMALL.items()},
}
COUNTS = {"9.6 MB": 300, "38 MB": 60, "1 MB": 2000, "20 small": 3000, "20 small, NumPy": 3000}


def copied(item: Any) -> Any:
    if isinstance(item, dict):
        return {key: copied(value) for key, value in item.items()}
    return item.clone() if isinstance(item, torch.Tensor) else item.copy()


def produce(queue: Any, name: str, allocate: bool, done: Any) -> None:
    item = ITEMS[name]
    # Each its own, made before: torch's queue moves what it gets into shared memory, and need not do so again.
    items = [] if allocate else [copied(item) for _ in range(COUNTS[name])]
    queue.put("made")
    for number in range(COUNTS[name]):
        if allocate:
            place = queue.allocate_tensor(item.shape, item.dtype)
            place[0, 0, 0, 0] = number % 256
            queue.put(place)
        else:
            queue.put(items.pop())  # torch's has a descriptor for each that is kept
    done.wait()  # what is sent as a handle needs its sender


def queue_rate(make_queue: Callable[[], Any], name: str, allocate: bool = False) -> float:
    """Items a second."""
    context = multiprocessing.get_context("fork")
    queue, done = make_queue(), context.Event()
    process = context.Process(target=produce, args=(queue, name, allocate, done))
    process.start()
    queue.get()
    began = time.perf_counter()
    for _ in range(COUNTS[name]):
        queue.get()
    seconds = time.perf_counter() - began
    done.set()
    process.join()
    return COUNTS[name] / seconds


class Images(Dataset[Any]):
    """Images that are in memory already."""

    def __init__(self) -> None:
        self._images = torch.randint(0, 256, (256, 3, 224, 224), dtype=torch.uint8)

    def __len__(self) -> int:
        return 64 * 120

    def __getitem__(self, index: int) -> Any:
        return self._images[index % 256], index


def loader_rate(context: Any) -> float:
    """Batches a second, of 64 images and two workers."""
    loader = DataLoader(Images(), batch_size=64, num_workers=2, multiprocessing_context=context)
    batches = iter(loader)
    next(batches)
    began = time.perf_counter()
    count = sum(1 for _ in batches)
    return count / (time.perf_counter() - began)


def installed_rate() -> float:
    conveyor.install()
    try:
        return loader_rate("fork")
    finally:
        conveyor.uninstall()


def stock_queue() -> Any:
    return torch.multiprocessing.get_context("fork").Queue(BOUND)


def our_queue() -> Any:
    return conveyor.Queue(BOUND)


Rates = dict[str, tuple[Callable[[], float], Callable[[], float]]]


def rows() -> Rates:
    """By name: ours, and what it is compared with."""
    found: Rates = {}
    for name in ("9.6 MB", "38 MB", "1 MB", "20 small"):
        found[name] = (
            lambda name=name: queue_rate(our_queue, name),
            lambda name=name: queue_rate(stock_queue, name),
        )
    found["20 small, to NumPy"] = (
        lambda: queue_rate(our_queue, "20 small"),
        lambda: queue_rate(our_queue, "20 small, NumPy"),
    )
    found["9.6 MB, allocate_tensor"] = (
        lambda: queue_rate(our_queue, "9.6 MB", allocate=True),
        lambda: queue_rate(stock_queue, "9.6 MB"),
    )
    stock = multiprocessing.get_context("fork")
    ours = conveyor.multiprocessing.get_context("fork")
    found["DataLoader, by context"] = lambda: loader_rate(ours), lambda: loader_rate(stock)
    found["DataLoader, by install()"] = installed_rate, lambda: loader_rate(stock)
    return found


def main() -> None:
    """Measure, and print a table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    wanted = sys.argv[2] if len(sys.argv) > 2 else ""
    print(
        f"torch {torch.__version__}, NumPy {numpy.__version__}, {rounds} rounds, {BOUND} items at most in a queue"
    )
    for name, (ours, other) in rows().items():
        if wanted not in name:
            continue
        pairs = [(ours(), other()) for _ in range(rounds)]
        mine, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
        worst = min(one / two for one, two in pairs)
        verdict = "met" if mine / theirs >= BARS[name] else "NOT MET"
        print(
            f"{name:26} {mine:9,.0f}/s against {theirs:9,.0f}/s: {mine / theirs:6.2f}x ({worst:.2f}) of {BARS[name]:g}x"
            f"  {verdict}",
            flush=True,
        )


if __name__ == "__main__":
    main()
