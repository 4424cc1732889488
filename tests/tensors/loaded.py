"""Data sets for DataLoaders, and what is done to their workers."""

from __future__ import annotations

import importlib
import os
import signal
from collections.abc import Iterator
from typing import Any

torch: Any = importlib.import_module("torch")
data: Any = importlib.import_module("torch.utils.data")
torch.set_num_threads(1)

ROWS = 103


class Rows(data.Dataset):  # type: ignore[misc]
    """Every kind of value that the default collate knows."""

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, index: int) -> Any:
        generator = torch.Generator().manual_seed(index)
        image = torch.randint(0, 256, (3, 40, 40), dtype=torch.uint8, generator=generator)
        nested = {"half": image.to(torch.float16) / 255, "pair": (index, index / 2)}
        return {
            "image": image,
            "label": index,
            "name": f"row {index}",
            "nested": nested,
            "array": image.numpy(),
        }


class Stream(data.IterableDataset):  # type: ignore[misc]
    """Rows that the workers share out among themselves."""

    def __iter__(self) -> Iterator[Any]:
        worker = data.get_worker_info()
        for index in range(worker.id, ROWS, worker.num_workers):
            yield torch.full((1000,), index)


class Deadly(Rows):
    """A row that kills its worker."""

    def __init__(self, row: int) -> None:
        self.row = row

    def __getitem__(self, index: int) -> Any:
        if index == self.row:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(index)


class Broken(Rows):
    """A row that cannot be read."""

    def __getitem__(self, index: int) -> Any:
        if index == 50:
            raise LookupError("row 50 is gone")
        return super().__getitem__(index)


class Uneven(data.Dataset):  # type: ignore[misc]
    """Rows that do not fit together."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        return torch.zeros(index + 1)


class Keeping(data.Dataset):  # type: ignore[misc]
    """Batches that it collates by itself, and sends again in each epoch."""

    def __init__(self) -> None:
        self.kept: dict[int, Any] = {}

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> Any:
        if index not in self.kept:
            self.kept[index] = data.default_collate([torch.full((100, 100), index)] * 4)
        return self.kept[index]


def name_worker(number: int) -> None:
    """For `worker_init_fn`."""
    os.environ["LOADED_WORKER"] = str(number)


class Named(data.Dataset):  # type: ignore[misc]
    """What the worker is called."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> Any:
        return int(os.environ["LOADED_WORKER"])


def own_collate(batch: list[Any]) -> Any:
    """One of the program's own."""
    return torch.stack([row["image"] for row in batch]), [row["name"] for row in batch]


def equal(one: Any, other: Any) -> bool:
    """Whether two batches are the same, in type and in every bit."""
    if type(one) is not type(other):
        return False
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and one.shape == other.shape and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return bool(one == other)
