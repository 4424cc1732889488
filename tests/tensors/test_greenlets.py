"""Items that are pickled in turns by one thread: each reducer learns of its own item, and of no other."""

from __future__ import annotations

import gc
from typing import Any

import pytest

import conveyor
from conveyor._native import notes_of_item

tensor_items: Any = pytest.importorskip(
    "tensor_items", reason="torch is not installed, which is some GB: make test-torch", exc_type=ImportError
)
greenlets: Any = pytest.importorskip("greenlet", reason="greenlet is not installed: make test-torch")
torch: Any = tensor_items.torch


class Switch:
    """Lets another greenlet run where it is pickled."""

    def __reduce__(self) -> Any:
        greenlets.getcurrent().parent.switch()
        return int, ()


def test_in_turns() -> None:
    whole = torch.arange(10_000.0)
    queue, store = conveyor.Queue[Any](), conveyor.SharedDict[str, Any]()
    parts = [whole[:100], Switch(), whole[50:200], Switch(), torch.ones(3)]
    others = [whole[:10], Switch(), whole[5:20], Switch(), torch.zeros(3)]
    running = [
        greenlets.greenlet(lambda: queue.put(parts)),
        greenlets.greenlet(lambda: store.__setitem__("x", others)),
    ]
    while not all(each.dead for each in running):
        for each in running:
            if not each.dead:
                each.switch()
    for sent, received in ((parts, queue.get(timeout=5)), (others, store["x"])):
        for index in (0, 2, 4):
            assert torch.equal(sent[index], received[index])
        assert received[0].untyped_storage().data_ptr() == received[2].untyped_storage().data_ptr()


def test_one_that_is_left_half_way() -> None:
    whole = torch.arange(10_000.0)
    queue = conveyor.Queue[Any]()
    left = greenlets.greenlet(lambda: queue.put([whole[:5], Switch(), whole[3:]]))
    left.switch()
    queue.put([whole[:50], whole[5:60]])
    del left
    gc.collect()
    queue.put([whole[:50], whole[5:60]])
    for _ in range(2):
        first, second = queue.get(timeout=5)
        assert torch.equal(first, whole[:50])
        assert torch.equal(second, whole[5:60])
    assert queue.empty()
    assert notes_of_item() is None
