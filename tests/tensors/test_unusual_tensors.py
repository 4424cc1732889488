"""Tensors that have no memory, or other memory each time; what cannot be sent is an error of put."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import conveyor
from conveyor._native import tensor_capsule

tensor_items: Any = pytest.importorskip(
    "tensor_items", reason="torch is not installed, which is some GB: make test-torch", exc_type=ImportError
)
torch: Any = tensor_items.torch
untyped = tensor_items.untyped
needs_torch_2 = tensor_items.needs_torch_2
needs_transforms = pytest.mark.skipif(
    not hasattr(torch, "func"), reason=f"torch {torch.__version__} has no transforms"
)


def through_queue(item: Any) -> Any:
    queue: Any = conveyor.Queue()
    queue.put(item)
    return queue.get(timeout=5)


def refused(item: Any, error: type[Exception], what: str) -> None:
    """And the queue is as good as before."""
    queue: Any = conveyor.Queue()
    with pytest.raises(error, match=what):
        queue.put(item)
    queue.put(1)
    assert queue.get(timeout=5) == 1


@pytest.fixture
def meta_by_default() -> Iterator[None]:
    if not hasattr(torch, "set_default_device"):
        pytest.skip(f"torch {torch.__version__} has no default device")
    torch.set_default_device("meta")
    yield
    torch.set_default_device(None)


class TestNoMemory:
    @pytest.mark.parametrize("rows", [1, 5000])
    def test_a_storage_that_was_resized_away(self, rows: int) -> None:
        tensor = torch.rand(rows)
        untyped(tensor).resize_(0)
        refused(tensor, ValueError, rf"its storage has 0 bytes of the {4 * rows}")

    def test_one_of_two_on_it(self) -> None:
        tensor = torch.rand(5000)
        views = [tensor[:100], tensor[:4000]]
        untyped(tensor).resize_(1000)
        assert torch.equal(through_queue(views[0]), views[0])
        refused(views, ValueError, "its storage has 1000 bytes")

    @needs_transforms
    def test_functional_tensors(self) -> None:
        def put(tensor: Any) -> Any:
            refused(tensor, TypeError, "has no memory")
            return tensor.sum()

        torch.func.functionalize(put)(torch.rand(5000))

    @needs_torch_2
    def test_zeros_that_are_not_stored(self) -> None:
        received = through_queue(torch._efficientzerotensor(5000))
        assert torch.equal(received, torch.zeros(5000))

    def test_empty_ones_that_lie_beyond_their_storage(self) -> None:
        tensor = torch.rand(100)
        far = tensor.as_strided((0, 3), (7, 1), 10**9)
        received, other = through_queue([far, tensor])
        assert (received.shape, received.stride()) == (far.shape, far.stride())
        assert torch.equal(other, tensor)


class Anew:
    """Two tensors of one storage, which is another one each time."""

    times = 0

    def __init__(self, numbers: list[float]) -> None:
        self.numbers = numbers

    def __reduce__(self) -> Any:
        type(self).times += 1
        tensor = torch.tensor(self.numbers)
        half = len(tensor) // 2
        return list, ((tensor[:half], tensor[half:]),)


class Storage:
    """The storage of a tensor, made so late that a tensor on it has come by before."""

    def __init__(self, tensor: Any) -> None:
        self.tensor = tensor

    def __reduce__(self) -> Any:
        return _first_bytes, (untyped(self.tensor),)


def _first_bytes(storage: Any) -> bytes:
    return bytes(storage[:8])


class TestPickledAgain:
    def test_storages_that_are_made_anew_each_time(self) -> None:
        numbers = [float(number) for number in range(5000)]
        Anew.times = 0
        received = through_queue([Anew(numbers), Anew(numbers)])
        for first, second in received:
            assert torch.cat([first, second]).tolist() == numbers
            assert untyped(first).data_ptr() == untyped(second).data_ptr()
        assert Anew.times == 4, "each of the two twice"

    def test_among_others(self) -> None:
        shared, alone = torch.rand(1000), torch.rand(10**6)
        received = through_queue([shared[:10], Anew([1.0, 2.0]), alone[5:9], shared[5:20]])
        assert torch.equal(received[0], shared[:10])
        assert torch.equal(received[2], alone[5:9])
        assert torch.equal(received[3], shared[5:20])
        assert untyped(received[2]).nbytes() == 16, "of one alone goes what it needs"

    def test_views_that_differ_each_time(self) -> None:
        tensor = torch.rand(1000)

        class Wider:
            width = 10

            def __reduce__(self) -> Any:
                Wider.width += 10
                return list, ((tensor[Wider.width - 10 : Wider.width], tensor[:5]),)

        received = through_queue(Wider())
        assert torch.equal(received[0], tensor[Wider.width - 10 : Wider.width])
        assert torch.equal(received[1], tensor[:5])

    @pytest.mark.parametrize("with_views", [False, True])
    def test_a_storage_after_its_tensors(self, with_views: bool) -> None:
        tensor = torch.rand(1000)
        views = [tensor[500:600], tensor[550:700]] if with_views else [tensor[500:600]]
        *received, first = through_queue([*views, Storage(tensor)])
        for sent, arrived in zip(views, received, strict=True):
            assert torch.equal(sent, arrived)
        assert torch.frombuffer(bytearray(first), dtype=torch.float32).equal(tensor[:2])

    def test_an_item_that_puts_another_one_meanwhile(self) -> None:
        tensor, other = torch.rand(10_000), conveyor.Queue[Any]()

        class Putting:
            def __reduce__(self) -> Any:
                other.put([tensor[:5000], tensor[4000:], Anew([1.0, 2.0])])
                return int, ()

        first, _, second, _ = through_queue([tensor[:3000], Putting(), tensor[2000:6000], Putting()])
        assert torch.equal(first, tensor[:3000])
        assert torch.equal(second, tensor[2000:6000])
        assert other.qsize() == 4, "two rounds"
        for _ in range(4):
            low, high, anew = other.get(timeout=5)
            assert torch.equal(low, tensor[:5000])
            assert torch.equal(high, tensor[4000:])
            assert [float(part) for part in anew] == [1, 2]

    def test_an_error_of_the_second_round(self) -> None:
        tensor = torch.rand(10_000)

        class Failing:
            rounds = 0

            def __reduce__(self) -> Any:
                Failing.rounds += 1
                if Failing.rounds == 2:
                    raise LookupError("in the second round")
                return int, ()

        refused([tensor[:10], tensor[5:], Failing()], LookupError, "in the second round")


@pytest.mark.usefixtures("meta_by_default")
class TestADefaultDevice:
    """Of the program, which is not where what arrives lies."""

    def test_one_with_gaps(self) -> None:
        tensor = torch.arange(100_000, device="cpu")[::1000]
        assert torch.equal(through_queue(tensor), tensor)

    def test_of_one_storage(self) -> None:
        tensor = torch.arange(1000, device="cpu")
        first, second = through_queue([tensor[:10], tensor[5:]])
        assert torch.equal(first, tensor[:10])
        assert torch.equal(second, tensor[5:])

    @pytest.mark.parametrize("rows", [3, 10_000])
    def test_allocated(self, rows: int) -> None:
        assert conveyor.Queue[Any]().allocate_tensor(rows).device.type == "cpu"


@pytest.mark.parametrize("shared", [False, True])
def test_a_file_that_is_mapped_goes_as_a_value(tmp_path: Path, shared: bool) -> None:
    path = tmp_path / "numbers"
    path.write_bytes(os.urandom(40_000))
    tensor = torch.from_file(str(path), shared=shared, size=40_000, dtype=torch.uint8)
    assert bytes(through_queue(tensor).numpy()) == path.read_bytes()
    first, second = through_queue([tensor[:100], tensor[50:]])
    first[50:] = 0
    assert int(second[:50].sum()) == 0
    assert bytes(tensor.numpy()) == path.read_bytes()


@pytest.mark.parametrize(
    ("shape", "strides"), [((2**32, 2**32), (0, 0)), ((2**62, 2), (0, 0)), ((2**62, 2**62, 0), (1, 1, 1))]
)
def test_more_elements_than_can_be_counted(shape: Any, strides: Any) -> None:
    """Torch finds that out after it has deleted what is not its own yet."""
    assert math.prod(shape) == 0 or math.prod(shape) * 4 >= 2**63
    with pytest.raises(ValueError, match="does not lie within"):
        tensor_capsule(bytearray(16), 0, 2, 32, shape, strides)


@needs_transforms
@pytest.mark.parametrize("name", ["vmap", "grad"])
def test_within_a_transform(name: str) -> None:
    transform = getattr(torch.func, name)

    def put(tensor: Any) -> Any:
        refused(tensor, NotImplementedError, "Cannot access storage")
        return tensor.sum()

    transform(put)(torch.rand(3) if name == "grad" else torch.rand(3, 4000))
