"""Tensors through queues, topics, stores and pipes: what arrives is what was sent, whoever is dead by then."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from multiprocessing import get_context
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
FORMS = tensor_items.FORMS
MIB = 1 << 20


def through_queue(item: Any) -> Any:
    queue: Any = conveyor.Queue()
    queue.put(item)
    return queue.get(timeout=5)


def through_topic(item: Any) -> Any:
    topic: Any = conveyor.Topic()
    first, second = topic.subscribe(), topic.subscribe()
    topic.publish(item)
    first.get(timeout=5)
    return second.get(timeout=5)


def through_dict(item: Any) -> Any:
    store: Any = conveyor.SharedDict()
    store["item"] = item
    assert store["item"] is not None
    return store["item"]


def through_lease(item: Any) -> Any:
    queue: Any = conveyor.Queue()
    queue.put(item)
    queue.lease(timeout=5).release()
    with queue.lease(timeout=5) as again:
        return again


def through_pipe(item: Any) -> Any:
    ours, theirs = conveyor.Pipe()
    thread = threading.Thread(target=ours.send, args=(item,))
    thread.start()
    received = theirs.recv()
    thread.join()
    for end in (ours, theirs):
        end.close()
    return received


WAYS = {
    "queue": through_queue,
    "topic": through_topic,
    "dict": through_dict,
    "lease": through_lease,
    "pipe": through_pipe,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("form", FORMS)
def test_forms(form: str, way: str) -> None:
    sent = FORMS[form]()
    tensor_items.check_same(sent, WAYS[way](sent))


@pytest.mark.parametrize("dtype", tensor_items.tensor_types(), ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (7,), (50, 3000)], ids=str)
def test_types(dtype: Any, shape: tuple[int, ...]) -> None:
    sent = tensor_items.filled(shape, dtype)
    received = through_queue(sent)
    tensor_items.check_same(sent, received)
    received.zero_() if dtype.is_floating_point and received.element_size() > 1 else None
    assert torch.equal(tensor_items.bits(sent), tensor_items.bits(tensor_items.filled(shape, dtype)))


class TestValue:
    def test_what_was_put_does_not_follow_what_is_done_to_it_afterwards(self) -> None:
        queue: Any = conveyor.Queue()
        tensor = torch.zeros(100_000)
        queue.put(tensor)
        tensor += 1
        assert not tensor.is_shared(), "it stays where it is"
        assert queue.get().sum() == 0

    def test_it_can_be_written_to_and_put_on(self) -> None:
        received = through_queue(torch.zeros(100_000))
        received += 2
        assert through_queue(received).sum() == 200_000

    def test_a_few_elements_cost_no_more_than_they_are(self) -> None:
        whole = torch.arange(10_000_000.0)
        for few in (whole[5:15], whole[::1_000_000], whole.reshape(10, -1)[:, 3]):
            queue: Any = conveyor.Queue(max_bytes=4096)
            queue.put(few, timeout=1)
            received = queue.get(timeout=1)
            assert torch.equal(few, received)
            assert untyped(received).nbytes() <= 40

    def test_max_bytes_holds(self) -> None:
        queue: Any = conveyor.Queue(max_bytes=MIB)
        tensor = torch.zeros(100_000)
        queue.put(tensor)
        queue.put(tensor)
        with pytest.raises(conveyor.Full):
            queue.put(tensor, block=False)

    def test_a_tensor_of_a_graph_is_refused_in_the_caller(self) -> None:
        queue: Any = conveyor.Queue()
        with pytest.raises(RuntimeError, match="non-leaf"):
            queue.put(torch.rand(3, requires_grad=True) * 2)
        assert queue.empty()

    def test_resizing_is_torchs_error(self) -> None:
        received = through_queue(torch.zeros(100_000))
        with pytest.raises(RuntimeError, match="resiz"):
            received.resize_(200_000)
        assert received.sum() == 0


class TestAliases:
    def test_within_an_item(self) -> None:
        whole = torch.arange(100_000.0)
        sent = [whole[10:20], whole, whole.view(100, 1000).t(), whole, whole.view(torch.int32)[4:8]]
        part, one, matrix, same, words = through_queue(sent)
        assert one is same
        for received, expected in zip(
            (part, one, matrix, words), (sent[0], *sent[1:3], sent[4]), strict=True
        ):
            assert torch.equal(received, expected)
            assert received.stride() == expected.stride()
        one[10] = -5.0
        assert part[0] == matrix.t()[0, 10] == -5.0
        places = {untyped(each).data_ptr() for each in (part, one, matrix, words)}
        assert len(places) == 1

    def test_of_parts_of_a_large_storage(self) -> None:
        whole = torch.arange(10_000_000)
        queue: Any = conveyor.Queue(max_bytes=8192)
        queue.put([whole[1000:1100], whole[1050:1200]], timeout=1)
        first, second = queue.get()
        assert torch.equal(first, whole[1000:1100])
        assert torch.equal(second, whole[1050:1200])
        first[50] = -1
        assert second[0] == -1

    def test_a_batch_taken_apart(self) -> None:
        batch = torch.rand(64, 3, 50)
        received = through_queue(list(batch.unbind()))
        assert torch.equal(torch.stack(received), batch)

    def test_of_a_storage_itself(self) -> None:
        tensor = torch.arange(5000.0)
        received, storage = through_queue([tensor, untyped(tensor)])
        received[3] = -1
        assert storage.nbytes() == 20_000
        assert torch.frombuffer(bytearray(storage.tolist()), dtype=torch.float32)[3] == -1

    def test_with_an_object_that_reduces_itself_to_views(self) -> None:
        received = through_queue([Halves(torch.arange(1000.0)), torch.arange(3)])
        received[0].first[-1] = 7
        assert received[0].both[499] == 7

    def test_a_model_and_its_tied_weights(self) -> None:
        model = torch.nn.Sequential(torch.nn.Linear(20, 20), torch.nn.Linear(20, 20))
        model[1].weight = model[0].weight
        received = through_queue(model)
        assert received[1].weight is received[0].weight
        assert torch.equal(received[0].bias, model[0].bias)
        assert isinstance(received[0].weight, torch.nn.Parameter)


class Halves:
    def __init__(self, both: Any) -> None:
        self.both = both
        self.first = both[: len(both) // 2]

    def __reduce__(self) -> Any:
        return _halves, (self.both[: len(self.both) // 2], self.both)


def _halves(first: Any, both: Any) -> Halves:
    made = Halves(both)
    made.first = first
    return made


@pytest.mark.filterwarnings("ignore")  # torch's own, about what is new and what it will do away with
class TestOtherKinds:
    def test_a_subclass_keeps_what_it_has(self) -> None:
        sent = tensor_items.a_subclass()
        received = through_queue(sent)
        assert type(received) is tensor_items.Subclass
        assert received.label == "mine"
        assert torch.equal(received.as_subclass(torch.Tensor), sent.as_subclass(torch.Tensor))

    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize("layout", ["to_sparse", "to_sparse_csr", "to_sparse_csc"])
    def test_sparse(self, layout: str, way: str) -> None:
        sent = getattr(torch.eye(50), layout)()
        try:
            pickle.dumps(sent)
        except (NotImplementedError, RuntimeError):
            pytest.skip(f"torch {torch.__version__} itself cannot pickle this layout")
        received = WAYS[way](sent)
        assert received.layout == sent.layout
        assert torch.equal(received.to_dense(), sent.to_dense())

    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize("layout", ["strided", "jagged"])
    def test_nested(self, layout: str, way: str) -> None:
        if not hasattr(torch, "jagged"):
            pytest.skip(f"torch {torch.__version__} does not pickle nested tensors, or has no layout jagged")
        sent = torch.nested.nested_tensor([torch.rand(2), torch.rand(3)], layout=getattr(torch, layout))
        received = WAYS[way](sent)
        for one, other in zip(sent.unbind(), received.unbind(), strict=True):
            assert torch.equal(one, other)

    @pytest.mark.parametrize("way", WAYS)
    def test_quantized(self, way: str) -> None:
        per_tensor = torch.quantize_per_tensor(torch.randn(100), 0.1, 3, torch.quint8)
        scales, zeros = torch.rand(4) + 0.1, torch.zeros(4, dtype=torch.int64)
        per_channel = torch.quantize_per_channel(torch.randn(4, 25), scales, zeros, 0, torch.qint8)
        for sent in (per_tensor, per_channel):
            received = WAYS[way](sent)
            assert received.qscheme() == sent.qscheme()
            assert torch.equal(received.int_repr(), sent.int_repr())
            assert torch.equal(received.dequantize(), sent.dequantize())

    @needs_torch_2
    def test_meta(self) -> None:
        received = through_queue(torch.empty(3, 4, device="meta"))
        assert (received.device.type, received.shape) == ("meta", (3, 4))

    def test_mkldnn(self) -> None:
        with pytest.raises(TypeError, match="to_dense"):
            through_queue(torch.rand(3, 3).to_mkldnn())

    def test_shared_memory_stays_shared_through_a_queue(self) -> None:
        sent = torch.zeros(50).share_memory_()
        received = through_queue(sent)
        received[3] = 9
        assert sent[3] == 9

    @pytest.mark.parametrize("way", ["topic", "dict"])
    def test_and_is_a_value_elsewhere(self, way: str) -> None:
        sent = torch.zeros(50).share_memory_()
        received = WAYS[way](sent)
        sent[3] = 9
        assert received.sum() == 0


class TestOthersPicklers:
    def test_stock_queues_of_the_same_process_do_as_before(self) -> None:
        from multiprocessing.reduction import ForkingPickler

        before = dict(ForkingPickler._extra_reducers)  # type: ignore[attr-defined]
        through_queue(torch.rand(3))
        assert before == ForkingPickler._extra_reducers  # type: ignore[attr-defined]

    def test_a_reducer_of_the_programs_own_comes_first(self) -> None:
        from multiprocessing.reduction import ForkingPickler

        reducers = ForkingPickler._extra_reducers  # type: ignore[attr-defined]
        torchs = reducers[torch.Tensor]
        reducers[torch.Tensor] = lambda tensor: (str, (f"of {tensor.numel()}",))
        try:
            assert through_queue(torch.rand(3)) == "of 3"
        finally:
            reducers[torch.Tensor] = torchs
        assert torch.equal(through_queue(torch.ones(3)), torch.ones(3))

    def test_torch_is_not_imported_for_conveyors_sake(self) -> None:
        code = "import sys, conveyor; q = conveyor.Queue(); q.put({1}); q.get(); assert 'torch' not in sys.modules"
        subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class TestLifetime:
    @pytest.mark.parametrize("keep", ["view", "array", "graph", "list"])
    def test_the_memory_stays_as_long_as_anything_uses_it(self, keep: str) -> None:
        queue: Any = conveyor.Queue()
        queue.put(torch.arange(100_000.0))
        received = queue.get()
        if keep == "view":
            kept = received[5:50_000]
        elif keep == "array":
            kept = received.numpy()
        elif keep == "graph":
            received.requires_grad_()
            kept = (received * received).sum()
        else:
            kept = list(received.reshape(10, -1))
        copied = copy.deepcopy(kept) if keep != "graph" else None
        del received
        gc.collect()
        for _ in range(5):  # of the same size: it would lie where that lay
            queue.put(torch.full((100_000,), -1.0))
        others = [queue.get() for _ in range(5)]
        if keep == "graph":
            kept.backward()
        elif keep == "list":
            assert torch.equal(torch.stack(kept), torch.stack(copied))
        else:
            assert (kept == copied).all()
        del others, kept
        gc.collect()
        assert queue.statistics().memory_lent == 0

    def test_it_outlives_its_producer(self) -> None:
        queue: Any = conveyor.Queue()
        process = get_context("fork").Process(target=put_and_die, args=(queue,))
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert torch.equal(queue.get(timeout=5)["x"], torch.arange(100_000))

    def test_no_descriptor_for_what_is_in_flight(self) -> None:
        queue: Any = conveyor.Queue()
        before = descriptors()
        for _ in range(100):
            queue.put([torch.rand(16) for _ in range(20)])
        assert descriptors() == before
        items = [queue.get() for _ in range(100)]
        assert len(items) == 100
        assert descriptors() == before

    def test_shutting_down_at_once_leaves_nothing(self) -> None:
        queue: Any = conveyor.Queue()
        before = descriptors()
        for _ in range(50):
            queue.put(torch.rand(100_000))
        queue.shutdown(immediate=True)
        assert descriptors() == before


def put_and_die(queue: Any) -> None:
    queue.put({"x": torch.arange(100_000)})
    os.kill(os.getpid(), signal.SIGKILL)


class TestAllocate:
    def test_nothing_is_copied(self) -> None:
        queue: Any = conveyor.Queue()
        place = queue.allocate_tensor((300, 400), torch.float16)
        assert (place.shape, place.dtype) == ((300, 400), torch.float16)
        place.fill_(7)
        queue.put({"x": place})
        received = queue.get()["x"]
        assert (received == 7).all()
        place[0, 0] = 8
        assert received[0, 0] == 8, "it is the same memory"

    def test_its_default_type_is_torchs(self) -> None:
        queue: Any = conveyor.Queue()
        assert queue.allocate_tensor(5).dtype == torch.get_default_dtype()
        assert queue.allocate_tensor([2, 0]).shape == (2, 0)

    @pytest.mark.parametrize(
        ("shape", "dtype", "error"),
        [
            ((2, -1), None, ValueError),
            ("x", None, TypeError),
            (2.5, None, TypeError),
            (3, "float32", TypeError),
        ],
    )
    def test_nonsense(self, shape: Any, dtype: Any, error: type[Exception]) -> None:
        queue: Any = conveyor.Queue()
        with pytest.raises(error):
            queue.allocate_tensor(shape, dtype)

    def test_what_can_never_be_put(self) -> None:
        queue: Any = conveyor.Queue(max_bytes=MIB)
        with pytest.raises(conveyor.ItemTooLarge):
            queue.allocate_tensor(MIB, torch.int64)


class TestDamage:
    @pytest.mark.parametrize(
        ("shape", "strides"),
        [
            ((5,), None),
            ((2, 3), (3, 1)),
            ((2,), (4,)),
            ((2**40, 2**40), None),
            ((2,), (-1,)),
            ((-1,), (1,)),
            ((2, 2), (2**62, 2**62)),
            ((1,) * 3 + (2**62, 2**62, 2**62), None),
        ],
    )
    def test_what_does_not_lie_within_its_memory(self, shape: Any, strides: Any) -> None:
        with pytest.raises(ValueError, match="does not lie within"):
            tensor_capsule(bytearray(16), 0, 2, 32, shape, strides)

    def test_numbers_of_any_kind(self) -> None:
        with pytest.raises(OverflowError):
            tensor_capsule(bytearray(16), 0, 2, 32, (2**70,), None)
        with pytest.raises(TypeError):
            tensor_capsule(bytearray(16), 0, 2, 32, ("x",), None)
        with pytest.raises(ValueError, match="as many strides"):
            tensor_capsule(bytearray(16), 0, 2, 32, (2,), (1, 1))
        with pytest.raises(BufferError):
            tensor_capsule(b"x" * 16, 0, 2, 32, (2,), None)

    def test_a_capsule_that_nobody_takes(self) -> None:
        memory = bytearray(16)
        capsule = tensor_capsule(memory, 0, 2, 32, (4,), None)
        with pytest.raises(BufferError):
            memory.append(1)  # it is held
        del capsule
        memory.append(1)


PRODUCE_AND_CONSUME = """
import resource, sys, conveyor, torch, multiprocessing
torch.set_num_threads(1)
def produce(queue):
    for number in range(200):
        queue.put({str(i): torch.full((5000,), number) for i in range(20)})
if __name__ == "__main__":
    queue = conveyor.Queue(100)
    process = multiprocessing.get_context("fork").Process(target=produce, args=(queue,))
    if "few" in sys.argv:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    process.start()
    held = [queue.get(timeout=60) for number in range(200)]
    assert all((item["7"] == number).all() for number, item in enumerate(held))
    process.join()
    print("well")
"""
WITH_LITTLE_SHARED_MEMORY = 'mount -t tmpfs -o size=8m none /dev/shm && exec "$@"'


class TestScarcity:
    def test_few_descriptors(self, tmp_path: Path) -> None:
        assert run(tmp_path, "few") == "well\n"

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small /dev/shm")
    def test_a_small_dev_shm(self, tmp_path: Path) -> None:
        assert (
            run(tmp_path, before=["unshare", "-m", "sh", "-c", WITH_LITTLE_SHARED_MEMORY, "sh"]) == "well\n"
        )


def run(folder: Path, *arguments: str, before: Sequence[str] = ()) -> str:
    program = folder / "program.py"
    program.write_text(PRODUCE_AND_CONSUME)
    command = [*before, sys.executable, program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return done.stdout or done.stderr
