"""A small net learns to tell generated images apart: once with torch's own loader, and once over conveyor's queues.

    pip install torch
    python examples/train.py                 # both, side by side, with the time that each took to load
    python examples/train.py --images 20000 --size 96 --workers 4

The images are bright discs and squares on noise; the net has two convolutions. Both loaders give the same batches,
bit by bit, so that both nets come out the same; what differs is how the batches travel: torch's go as handles of shared
memory, one descriptor for each tensor; over conveyor's queue they are stacked where the queue has its memory.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

import conveyor.multiprocessing


class Shapes(Dataset[Any]):
    """Images of discs (0) and squares (1), made from their numbers."""

    def __init__(self, count: int, size: int) -> None:
        self._count = count
        self._size = size
        line = torch.arange(size)
        self._y, self._x = torch.meshgrid(line, line, indexing="ij")

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        random = torch.Generator().manual_seed(index)
        kind = index % 2
        image = torch.randint(0, 120, (3, self._size, self._size), dtype=torch.uint8, generator=random)
        radius = int(torch.randint(self._size // 8, self._size // 4, (1,), generator=random))
        row, column = (
            int(place) for place in torch.randint(radius, self._size - radius, (2,), generator=random)
        )
        dy, dx = self._y - row, self._x - column
        inside = (
            dy * dy + dx * dx <= radius * radius if kind == 0 else torch.maximum(dy.abs(), dx.abs()) <= radius
        )
        image[:, inside] += 100
        return image, kind


def make_net() -> nn.Module:
    """The same one each time."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 5, stride=2),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 16, 5, stride=2),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Linear(16 * 16, 2),
    )


def train(images: Dataset[Any], workers: int, context: Any) -> dict[str, float]:
    """One epoch: the seconds waited for batches, those that the net took, and how often it was right at the end."""
    net = make_net()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    loader = DataLoader(images, batch_size=64, num_workers=workers, multiprocessing_context=context)
    waited = learned = 0.0
    right: list[float] = []
    mark = time.perf_counter()
    for batch, kinds in loader:
        arrived = time.perf_counter()
        waited += arrived - mark
        guess = net(batch.float() / 255)
        loss = nn.functional.cross_entropy(guess, kinds)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        right.append(float((guess.argmax(1) == kinds).float().mean()))
        mark = time.perf_counter()
        learned += mark - arrived
    return {"waited": waited, "learned": learned, "right": sum(right[-10:]) / len(right[-10:])}


def load(images: Dataset[Any], workers: int, context: Any) -> float:
    """Seconds for an epoch of batches that nobody looks at."""
    began = time.perf_counter()
    for _ in DataLoader(images, batch_size=64, num_workers=workers, multiprocessing_context=context):
        pass
    return time.perf_counter() - began


class Kept(Dataset[Any]):
    """Some images that are in memory already, again and again: loading them is moving them."""

    def __init__(self, images: Dataset[Any], count: int) -> None:
        self._images = [images[index] for index in range(256)]
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Any:
        return self._images[index % len(self._images)]


def main() -> None:
    """Train with both, and load with both."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=6400, help="how many")
    parser.add_argument("--size", type=int, default=64, help="their height and width in pixels")
    parser.add_argument("--workers", type=int, default=2, help="processes that load them")
    given = parser.parse_args()
    torch.set_num_threads(1)
    images = Shapes(given.images, given.size)
    loaders = {"torch's own": "fork", "conveyor's": conveyor.multiprocessing.get_context("fork")}

    print(f"{given.images} images of {given.size} x {given.size}, {given.workers} workers, batches of 64\n")
    print_row("", *loaders)
    trained = [train(images, given.workers, context) for context in loaders.values()]
    print_row("training: seconds that the net took", *(f"{each['learned']:.2f}" for each in trained))
    print_row("training: seconds waited for images", *(f"{each['waited']:.2f}" for each in trained))
    print_row("training: right at the end", *(f"{each['right']:.1%}" for each in trained))
    kept = Kept(Shapes(256, 224), 64 * 100)
    seconds = [load(kept, given.workers, context) for context in loaders.values()]
    print_row("loading 100 batches of 224 x 224 from memory: seconds", *(f"{each:.2f}" for each in seconds))
    first, second = seconds
    print(
        f"\nWhere moving the images is all that there is to do, conveyor's is {first / second:.1f} times as fast."
    )


def print_row(title: str, *cells: str) -> None:
    print(f"{title:55}" + "".join(f"{cell:>14}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
