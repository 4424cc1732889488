"""Torch's DataLoader, its Queue, Pool and spawn, over conveyor's queues."""

from __future__ import annotations

import gc
import importlib
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import conveyor
import conveyor.multiprocessing

loaded: Any = pytest.importorskip(
    "loaded", reason="torch is not installed, which is some GB: make test-torch", exc_type=ImportError
)
torch: Any = loaded.torch
DataLoader: Any = loaded.data.DataLoader

METHODS: list[Any] = ["fork", "spawn", "forkserver"]
LARGE = 64 * 1024


@pytest.fixture(params=["context", "install"])
def loader(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Makes DataLoaders over our queues, either way."""
    if request.param == "context":
        context = conveyor.multiprocessing.get_context("fork")
        yield lambda rows, **options: DataLoader(rows, multiprocessing_context=context, **options)
    else:
        conveyor.install()
        try:
            yield lambda rows, **options: DataLoader(rows, multiprocessing_context="fork", **options)
        finally:
            conveyor.uninstall()
    gc.collect()


def stock(rows: Any, **options: Any) -> list[Any]:
    context = multiprocessing.get_context("fork")
    return list(DataLoader(rows, multiprocessing_context=context, **options))


def test_batches_are_those_of_stock(loader: Any) -> None:
    options = {"batch_size": 7, "num_workers": 2}
    ours = list(loader(loaded.Rows(), **options))
    assert loaded.equal(ours, stock(loaded.Rows(), **options))


def test_shuffled_with_a_seed(loader: Any) -> None:
    def options() -> dict[str, Any]:
        return {
            "batch_size": 7,
            "num_workers": 2,
            "shuffle": True,
            "generator": torch.Generator().manual_seed(5),
        }

    assert loaded.equal(list(loader(loaded.Rows(), **options())), stock(loaded.Rows(), **options()))


def test_iterable(loader: Any) -> None:
    found = torch.cat([batch[:, 0] for batch in loader(loaded.Stream(), batch_size=8, num_workers=2)])
    assert sorted(found.tolist()) == list(range(loaded.ROWS))


@pytest.mark.parametrize("method", METHODS)
def test_every_start_method(method: str) -> None:
    context = conveyor.multiprocessing.get_context(method)
    ours = list(DataLoader(loaded.Rows(), batch_size=20, num_workers=1, multiprocessing_context=context))
    assert loaded.equal(ours, stock(loaded.Rows(), batch_size=20, num_workers=1))


def test_a_batch_lies_in_the_queues_memory(loader: Any) -> None:
    batches = iter(loader(loaded.Rows(), batch_size=32, num_workers=1))
    image = next(batches)["image"]
    assert image.numel() > LARGE
    assert not image.is_shared(), "torch's shared memory has no part in it"
    where = Path("/proc/self/maps").read_text().splitlines()
    spans = [line.split()[0].split("-") for line in where if "conveyor" in line]
    assert any(int(first, 16) <= image.data_ptr() < int(end, 16) for first, end in spans)
    image += 1  # it may be written to
    kept = image.clone()
    del batches
    gc.collect()
    assert torch.equal(image, kept), "and outlives the loader"


def test_persistent_workers_and_epochs_that_are_left_early(loader: Any) -> None:
    rows = loader(loaded.Rows(), batch_size=5, num_workers=2, persistent_workers=True)
    sizes = [len(list(rows))]
    before = descriptors()
    for _ in range(3):
        for batch in rows:
            assert batch["label"][0] == 0
            break
        sizes.append(len(list(rows)))
    assert set(sizes) == {21}
    assert descriptors() <= before


def test_left_early_without_a_leak(loader: Any) -> None:
    before = None
    for _ in range(5):
        for _ in loader(loaded.Rows(), batch_size=5, num_workers=2):
            break
        gc.collect()
        before = descriptors() if before is None else before
        assert descriptors() <= before


def test_a_worker_that_dies_is_torchs_error(loader: Any) -> None:
    for row in (0, 3, 50, 102):
        with pytest.raises(RuntimeError, match=r"exited unexpectedly|is killed by signal"):
            list(loader(loaded.Deadly(row), batch_size=5, num_workers=2))


@pytest.mark.slow
def test_a_hundred_workers_that_die() -> None:
    context = conveyor.multiprocessing.get_context("fork")
    for attempt in range(100):
        with pytest.raises(RuntimeError, match=r"exited unexpectedly|is killed by signal"):
            rows = loaded.Deadly(attempt % loaded.ROWS)
            list(DataLoader(rows, batch_size=5, num_workers=2, multiprocessing_context=context))


def test_an_exception_of_a_worker_comes_as_it_is(loader: Any) -> None:
    with pytest.raises(LookupError, match="row 50 is gone"):
        list(loader(loaded.Broken(), batch_size=5, num_workers=2))


def test_rows_that_do_not_fit_are_torchs_error(loader: Any) -> None:
    with pytest.raises(RuntimeError, match="stack expects each tensor to be equal size"):
        list(loader(loaded.Uneven(), batch_size=4, num_workers=1))


def test_worker_init_fn(loader: Any) -> None:
    batches = loader(loaded.Named(), batch_size=1, num_workers=2, worker_init_fn=loaded.name_worker)
    assert [int(batch) for batch in batches] == [0, 1] * 4


def test_a_collate_of_the_programs_own(loader: Any) -> None:
    options = {"batch_size": 9, "num_workers": 2, "collate_fn": loaded.own_collate}
    assert loaded.equal(list(loader(loaded.Rows(), **options)), stock(loaded.Rows(), **options))


def test_a_data_set_that_keeps_what_it_has_collated(loader: Any) -> None:
    rows = loader(loaded.Keeping(), batch_size=None, num_workers=2, persistent_workers=True)
    for _ in range(3):
        batches = list(rows)
        assert [int(batch.sum()) for batch in batches] == [40_000 * index for index in range(8)]
        assert not any(batch.is_shared() for batch in batches), "by value, without a descriptor"


def test_stock_loaders_beside_ours(loader: Any) -> None:
    if conveyor.installed():
        return  # then there are none
    ours = iter(loader(loaded.Rows(), batch_size=50, num_workers=1))
    first = next(iter(stock(loaded.Rows(), batch_size=50, num_workers=1)))
    assert first["image"].is_shared(), "stock's batches are in its own shared memory"
    assert not next(ours)["image"].is_shared()


def test_workers_import_nothing_that_another_thread_may_be_importing() -> None:
    program = (
        "import sys, torch.utils.data, conveyor\n"
        "conveyor.Queue()\n"
        "assert 'conveyor._memory.tensors' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


# -- torch.multiprocessing ----------------------------------------------------------------------------------------


def doubled(tensor: Any) -> Any:
    return tensor * 2


def send(rank: int, queue: Any) -> None:
    queue.put((rank, torch.full((50_000,), rank)))


def kill_itself(tensor: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def installed() -> Iterator[Any]:
    conveyor.install()
    try:
        yield importlib.import_module("torch.multiprocessing")
    finally:
        conveyor.uninstall()


def test_torchs_queue(installed: Any) -> None:
    queue = installed.get_context("fork").Queue()
    assert isinstance(queue, conveyor.Queue)
    queue.put(torch.arange(5))
    assert torch.equal(queue.get(timeout=5), torch.arange(5))


def test_torchs_pool(installed: Any) -> None:
    with installed.get_context("fork").Pool(2) as pool:
        results = pool.map(doubled, [torch.full((30_000,), number) for number in range(10)])
    assert [int(result[0]) for result in results] == list(range(0, 20, 2))
    pool.join()


def test_torchs_spawn(installed: Any) -> None:
    queue = installed.get_context("spawn").Queue()
    installed.spawn(send, args=(queue,), nprocs=2)
    found = dict(queue.get(timeout=5) for _ in range(2))
    assert {rank: int(tensor.sum()) for rank, tensor in found.items()} == {0: 0, 1: 50_000}
