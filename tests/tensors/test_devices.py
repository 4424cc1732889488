"""Tensors in the memory of a device: by value with cuda="copy", and a clear error where torch's handle is none.

The device is one of torch's places for others' devices, in memory that the processor cannot read (far_device.cpp).
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from typing import Any

import pytest

import conveyor
import conveyor.multiprocessing

tensor_items: Any = pytest.importorskip(
    "tensor_items", reason="torch is not installed, which is some GB: make test-torch", exc_type=ImportError
)
import far_device  # noqa: E402
from far_device import copied_bytes, to_far  # noqa: E402

torch: Any = tensor_items.torch
FORMS = {
    name: form
    for name, form in tensor_items.FORMS.items()
    if name != "sparse's parts"  # a device of tests has no sparse tensors
}
far_device.load()


@pytest.fixture
def named() -> Iterator[str]:
    url = "shm://devices"
    yield url
    conveyor.remove(url)


def through(queue: Any, item: Any) -> Any:
    queue.put(item)
    return queue.get() if isinstance(queue, conveyor.SimpleQueue) else queue.get(timeout=5)


def through_lease(item: Any) -> Any:
    queue: Any = conveyor.Queue(cuda="copy")
    queue.put(item)
    assert queue.peek()
    queue.lease(timeout=5).release()
    with queue.lease(timeout=5) as again:
        return again


def through_topic(item: Any) -> Any:
    topic: Any = conveyor.Topic(cuda="copy")
    first, second = topic.subscribe(), topic.subscribe()
    topic.publish(item)
    first.get(timeout=5)
    return second.get(timeout=5)


def through_dict(item: Any) -> Any:
    store: Any = conveyor.SharedDict({1: item}, cuda="copy")
    assert store[1] is not None
    return store[1]


WAYS: dict[str, Callable[[Any], Any]] = {
    "queue": lambda item: through(conveyor.Queue(cuda="copy"), item),
    "joinable": lambda item: through(conveyor.JoinableQueue(cuda="copy"), item),
    "simple": lambda item: through(conveyor.SimpleQueue(cuda="copy"), item),
    "pickle": lambda item: through(conveyor.Queue(codec="pickle", cuda="copy"), item),
    "context": lambda item: through(conveyor.multiprocessing.get_context("spawn").Queue(cuda="copy"), item),
    "lease": through_lease,
    "topic": through_topic,
    "dict": through_dict,
    "list": lambda item: conveyor.SharedList([item], cuda="copy")[0],
}


def check_same(sent: Any, received: Any) -> None:
    assert sent.device.type == received.device.type == "far"
    assert (
        received.stride() == sent.stride()
        or tensor_items.bits(sent.cpu()).numel() < sent.untyped_storage().nbytes()
    )
    assert (received.is_leaf, received.requires_grad) == (sent.is_leaf, sent.requires_grad)
    assert type(sent) is type(received)
    tensor_items.check_same(sent.detach().cpu(), received.detach().cpu())


class TestCopy:
    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize("form", FORMS)
    def test_forms(self, form: str, way: str) -> None:
        sent = to_far(FORMS[form]())
        check_same(sent, WAYS[way](sent))

    @pytest.mark.parametrize("dtype", tensor_items.tensor_types(), ids=str)
    def test_types(self, dtype: Any) -> None:
        sent = to_far(tensor_items.filled((50, 300), dtype))
        received = WAYS["queue"](sent)
        assert received.dtype is dtype
        assert torch.equal(sent.view(torch.uint8).cpu(), received.view(torch.uint8).cpu())

    def test_by_name(self, named: str) -> None:
        queue: Any = conveyor.connect(named, cuda="copy")
        assert through(queue, torch.arange(5).to("far")).cpu().tolist() == [0, 1, 2, 3, 4]

    def test_a_topic_by_name(self) -> None:
        url = "shm://device_events?kind=topic"
        topic: Any = conveyor.connect(url, cuda="copy")
        try:
            with topic.subscribe() as events:
                topic.publish(torch.arange(3).to("far"))
                assert events.get(timeout=5).cpu().tolist() == [0, 1, 2]
        finally:
            conveyor.remove(url)

    def test_a_few_elements_cost_no_more_than_they_are(self) -> None:
        whole = torch.arange(1_000_000.0).to("far")
        queue: Any = conveyor.Queue(max_bytes=4096, cuda="copy")
        before = copied_bytes()
        assert through(queue, whole[5:15]).cpu().tolist() == list(range(5, 15))
        assert copied_bytes() - before <= 3 * 40, "there, back, and for this test"

    @pytest.mark.parametrize("way", WAYS)
    def test_what_shares_a_storage_does_again(self, way: str) -> None:
        whole = torch.arange(10_000.0).to("far")
        part, one, words, same = WAYS[way]([whole[10:20], whole, whole.view(torch.int32)[4:8], whole])
        assert same is one
        assert {each.untyped_storage().data_ptr() for each in (part, one, words)} == {one.data_ptr()}
        one.copy_(torch.zeros(10_000))
        assert part.cpu().sum() == 0

    def test_beside_others(self) -> None:
        sent = {"far": torch.arange(9).to("far"), "near": torch.arange(9), "number": 3}
        received = WAYS["queue"](sent)
        assert (received["near"].device.type, received["number"]) == ("cpu", 3)
        assert received["far"].cpu().tolist() == received["near"].tolist()

    def test_a_module_and_its_tied_weights(self) -> None:
        model = torch.nn.Sequential(torch.nn.Linear(20, 20), torch.nn.Linear(20, 20)).to("far")
        model[1].weight = model[0].weight
        received = WAYS["queue"](model)
        assert received[1].weight is received[0].weight
        check_same(model[0].bias, received[0].bias)

    @pytest.mark.parametrize("way", WAYS)
    def test_a_subclass(self, way: str) -> None:
        sent = torch.arange(12.0).to("far").as_subclass(tensor_items.Subclass)
        sent.label = "mine"
        received = WAYS[way](sent)
        assert (type(received), received.label) == (tensor_items.Subclass, "mine")
        assert received.as_subclass(torch.Tensor).cpu().tolist() == list(range(12))

    def test_a_storage_itself(self) -> None:
        tensor = torch.arange(12, dtype=torch.uint8).to("far")
        received = WAYS["queue"](tensor.untyped_storage())
        assert received.device.type == "far"
        again = torch.empty(0, dtype=torch.uint8, device="far").set_(received, 0, (12,), (1,))
        assert again.cpu().tolist() == list(range(12))

    def test_an_empty_storage(self) -> None:
        received = WAYS["queue"](torch.empty(0, device="far").untyped_storage())
        assert (received.device.type, received.nbytes()) == ("far", 0)

    def test_a_tensor_of_a_graph_is_refused_in_the_caller(self) -> None:
        with pytest.raises(RuntimeError, match="non-leaf"):
            WAYS["queue"]((torch.rand(3).requires_grad_() * 2).to("far"))

    def test_meta_stays_meta(self) -> None:
        assert WAYS["queue"](torch.empty(3, device="meta")).device.type == "meta"


def put_on(queue: Any, results: Any) -> None:
    results.put(queue.get(timeout=60))
    results._writer.send(torch.arange(4).to("far"))


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_it_travels_with_the_queue(method: str) -> None:
    queue, results = conveyor.Queue[Any](cuda="copy"), conveyor.Queue[Any](cuda="copy")
    child = get_context(method).Process(target=put_on, args=(queue, results))  # type: ignore[attr-defined]
    child.start()
    queue.put(torch.arange(3).to("far"))
    assert results.get(timeout=60).cpu().tolist() == [0, 1, 2]
    assert results.get(timeout=60).cpu().tolist() == [0, 1, 2, 3]
    child.join()


@pytest.mark.parametrize(
    "made", [conveyor.SimpleQueue, conveyor.Topic, conveyor.SharedDict, conveyor.SharedList]
)
def test_it_travels_with_other_handles(made: Any) -> None:
    carrier: Any = conveyor.Queue()
    its = made(cuda="copy")
    carrier.put(its)
    received = carrier.get(timeout=5)
    tensor = torch.arange(3).to("far")
    if made is conveyor.SimpleQueue:
        received.put(tensor)
        assert its.get().cpu().tolist() == [0, 1, 2]
    elif made is conveyor.Topic:
        with its.subscribe() as events:
            received.publish(tensor)
            assert events.get(timeout=5).cpu().tolist() == [0, 1, 2]
    elif made is conveyor.SharedDict:
        received[1] = tensor
        assert its[1].cpu().tolist() == [0, 1, 2]
    else:
        received.append(tensor)
        assert its[0].cpu().tolist() == [0, 1, 2]


def makes_and_puts(results: Any) -> None:
    import multiprocessing

    queue = multiprocessing.Queue()
    queue.put(torch.arange(3).to("far"))
    results.put(queue.get(timeout=5).cpu().tolist())


class TestInstall:
    @pytest.fixture(autouse=True)
    def uninstalled(self) -> Iterator[None]:
        yield
        conveyor.uninstall()

    @pytest.mark.parametrize("method", ["spawn", "fork"])
    def test_in_children(self, method: str) -> None:
        conveyor.install(cuda="copy")
        results: Any = conveyor.Queue()
        child = get_context(method).Process(target=makes_and_puts, args=(results,))  # type: ignore[attr-defined]
        child.start()
        assert results.get(timeout=60) == [0, 1, 2]
        child.join()

    def test_said_later_and_taken_back(self) -> None:
        conveyor.install()
        refused(conveyor.Queue(), torch.arange(3).to("far"))
        conveyor.install(cuda="copy")
        assert through(conveyor.Queue(), torch.arange(3).to("far")).cpu().tolist() == [0, 1, 2]
        refused(conveyor.Queue(cuda="share"), torch.arange(3).to("far"))
        assert conveyor.Queue[int](codec="json").empty(), "which it does not concern"
        conveyor.uninstall()
        refused(conveyor.Queue(), torch.arange(3).to("far"))

    def test_nonsense(self) -> None:
        with pytest.raises(ValueError, match="cuda is 'both'"):
            conveyor.install(cuda="both")  # type: ignore[arg-type]
        assert not conveyor.installed()


def refused(queue: Any, item: Any) -> None:
    with pytest.raises(TypeError, match=re.escape("tensor.cpu()")) as error:
        queue.put(item)
    assert "cuda='copy'" in str(error.value)
    queue.put(1)
    assert queue.get() == 1, "it is as good as before"


class TestDefault:
    @pytest.mark.parametrize("made", [conveyor.Queue, conveyor.JoinableQueue, conveyor.SimpleQueue])
    def test_of_a_device_that_torch_has_no_handle_for(self, made: Any) -> None:
        refused(made(), torch.arange(3).to("far"))

    def test_of_a_subclass(self) -> None:
        refused(conveyor.Queue(), torch.arange(3).to("far").as_subclass(tensor_items.Subclass))

    def test_elsewhere(self, named: str) -> None:
        tensor = torch.arange(3).to("far")
        refused(conveyor.connect(named), tensor)
        store: Any = conveyor.SharedDict()
        topic: Any = conveyor.Topic()
        for put in (lambda: store.__setitem__(1, tensor), lambda: topic.publish(tensor)):
            with pytest.raises(TypeError, match=r"(?s)far:0 in a (store|topic).*tensor.cpu.*cuda='copy'"):
                put()
        assert not store


class TestNonsense:
    @pytest.mark.parametrize(
        "made",
        [
            conveyor.Queue,
            conveyor.JoinableQueue,
            conveyor.SimpleQueue,
            conveyor.Topic,
            conveyor.SharedDict,
            conveyor.SharedList,
            conveyor.multiprocessing.Queue,
            lambda cuda: conveyor.connect("shm://nonsense", cuda=cuda),
            lambda cuda: conveyor.connect("shm://nonsense?kind=topic", cuda=cuda),
            lambda cuda: conveyor.connect("memory://nonsense", cuda=cuda),
        ],
    )
    @pytest.mark.parametrize("cuda", ["Copy", 1, True, b"copy", "cuda:0"])
    def test_values(self, made: Any, cuda: Any) -> None:
        with pytest.raises(ValueError, match=r"cuda is .*'copy'.*'share'.*None"):
            made(cuda=cuda)

    def test_with_a_codec_that_takes_no_tensors(self) -> None:
        with pytest.raises(ValueError, match=r"cuda is 'copy'.*codec is 'json'"):
            conveyor.Queue(codec="json", cuda="copy")

    @pytest.mark.parametrize(("codec", "cuda"), [(None, "copy"), ("json", "copy"), (None, "share")])
    def test_outside_this_machines_memory(self, codec: Any, cuda: Any) -> None:
        with pytest.raises(ValueError, match=f"cuda is '{cuda}'.*codec='pickle'"):
            conveyor.connect("memory://nonsense", codec=codec, cuda=cuda)


def _rebuilt(numbers: list[int]) -> Any:
    return torch.tensor(numbers).to("far")


class TestHandles:
    """Of CUDA, which is not here: what torch has for it stands in for the reduction of this device's tensors."""

    @pytest.fixture(autouse=True)
    def torchs_handle(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from conveyor._memory import tensors

        original = tensors._torchs.reduce_tensor

        def reduce_tensor(tensor: Any) -> Any:
            return original(tensor) if tensor.is_cpu else (_rebuilt, (tensor.cpu().tolist(),))

        monkeypatch.setattr(tensors._torchs, "reduce_tensor", reduce_tensor)

    def test_get_takes_them(self) -> None:
        assert through(conveyor.Queue(), torch.arange(3).to("far")).cpu().tolist() == [0, 1, 2]

    def test_under_lease_and_looked_at(self) -> None:
        queue: Any = conveyor.Queue()
        queue.put({"large": torch.arange(100_000).to("far"), "near": torch.rand(100_000)})
        for look in (queue.lease, lambda: queue.lease_many().__enter__(), queue.peek):
            with pytest.raises(
                TypeError, match=r"(lease|look at) a tensor on far:0.*tensor.cpu\(\).*cuda='copy'"
            ):
                look()
        assert queue.qsize() == 1
        assert queue.get(timeout=5)["large"].cpu().sum() == sum(range(100_000))

    def test_they_go_to_the_dead_letters(self) -> None:
        letters: Any = conveyor.Queue()
        queue: Any = conveyor.Queue(max_attempts=2, dead_letters=letters)
        queue.put([torch.arange(3).to("far")])
        for _ in range(2):
            with pytest.raises(TypeError, match="cannot lease"):
                queue.lease(timeout=5)
        assert queue.empty()
        letter = letters.get(timeout=5)
        assert "cuda='copy'" in letter.error
        again = pickle.loads(letter.raw, buffers=letter.buffers)
        assert again[0].cpu().tolist() == [0, 1, 2]

    def test_an_item_that_is_got_while_another_one_is_leased(self) -> None:
        queue: Any = conveyor.Queue()
        queue.put(Getting(torch.arange(3).to("far")))
        with queue.lease(timeout=5) as got:
            assert got.cpu().tolist() == [0, 1, 2]
        Getting.inner = None


class Getting:
    """Where it is unpickled, it gets another item."""

    inner: Any = None

    def __init__(self, tensor: Any) -> None:
        Getting.inner = conveyor.Queue()
        Getting.inner.put(tensor)

    def __reduce__(self) -> Any:
        return _got, ()


def _got() -> Any:
    return Getting.inner.get(timeout=5)
