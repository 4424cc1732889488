"""Torch's DataLoader over a queue of ours: its workers stack batches where the queue has its memory.

A worker of a DataLoader stacks a batch into shared memory of torch's, which travels as a handle and has a
descriptor for each tensor. Where the results go through a queue of ours, the batch is stacked into that queue's memory
instead, and nothing is copied on the way. Loaders with other queues do as before.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from ..errors import ItemTooLarge, OutOfMemory

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["follow"]

_WORKER_MODULE = "torch.utils.data._utils.worker"
_torchs_loop: Callable[..., Any] | None = None


def follow() -> None:
    """Have workers of DataLoaders look at their queue, if torch is loaded; a loader makes its queues first."""
    global _torchs_loop
    module: Any = sys.modules.get(_WORKER_MODULE)
    loop = getattr(module, "_worker_loop", None)  # None: it is just being imported
    if loop is not None and loop is not worker_loop:
        # What workers need, before they are forked: one that is forked while another thread imports it would wait for
        # ever.
        importlib.import_module("conveyor._memory.tensors")
        _torchs_loop = loop
        module._worker_loop = worker_loop


def worker_loop(dataset_kind: Any, dataset: Any, index_queue: Any, data_queue: Any, *rest: Any) -> None:
    """What a worker of a DataLoader does: torch's own loop, with batches in the memory of the queue that takes them."""
    if _torchs_loop is None:  # in a new interpreter, which has found this by its name
        importlib.import_module(_WORKER_MODULE)
        follow()
    assert _torchs_loop is not None
    allocate = getattr(data_queue, "allocate_tensor", None)
    if allocate is not None:
        collate: Any = importlib.import_module("torch.utils.data._utils.collate")
        ours = _collate_into(allocate)
        rest = tuple(ours if argument is collate.default_collate else argument for argument in rest)
    _torchs_loop(dataset_kind, dataset, index_queue, data_queue, *rest)


def _collate_into(allocate: Callable[[tuple[int, ...], Any], Any]) -> Callable[[Any], Any]:
    """The default collate with memory of a queue's.

    For the loader's batches alone: a data set that collates something by itself may keep it, and send it again.
    """
    torch: Any = importlib.import_module("torch")
    collate: Any = importlib.import_module("torch.utils.data._utils.collate")
    torchs: Callable[..., Any] = collate.collate_tensor_fn
    functions: dict[Any, Any] = collate.default_collate_fn_map

    def is_plain(batch: Any) -> bool:
        first = batch[0]
        return (
            type(first) is torch.Tensor
            and first.is_cpu
            and first.layout is torch.strided
            and not (first.is_nested or first.is_quantized)
            and not any(
                each.requires_grad or each.shape != first.shape or each.dtype != first.dtype for each in batch
            )
        )

    def stack(batch: Any, *, collate_fn_map: Any = None) -> Any:
        # Not into shared memory, which would go as a handle.
        return torch.stack(batch, 0) if is_plain(batch) else torchs(batch, collate_fn_map=collate_fn_map)

    def stack_into(batch: Any, *, collate_fn_map: Any = None) -> Any:
        if is_plain(batch):
            first = batch[0]
            try:
                into = allocate((len(batch), *first.shape), first.dtype)
            except (ItemTooLarge, OutOfMemory):
                pass  # torch's own has memory of another kind, and its error if not
            else:
                return torch.stack(batch, 0, out=into)
        return torchs(batch, collate_fn_map=collate_fn_map)

    if functions.get(torch.Tensor) is torchs:
        functions[torch.Tensor] = stack

    def default_collate(batch: Any) -> Any:
        if functions.get(torch.Tensor) is not stack:
            return collate.default_collate(batch)  # the program has one of its own
        return collate.collate(batch, collate_fn_map={**functions, torch.Tensor: stack_into})

    return default_collate
