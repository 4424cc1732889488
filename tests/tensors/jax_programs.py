"""JAX's arrays through queues and topics: `python jax_programs.py NAME`, since a process that has JAX cannot fork."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import sys
from typing import Any

import numpy
import pytest
from queue_memory import lent, lies_in_a_queue, there_and_back

import conveyor

os.environ.setdefault("JAX_PLATFORMS", "cpu")
jax: Any = importlib.import_module("jax")
jnp: Any = importlib.import_module("jax.numpy")

TYPES = [
    *("bool_", "int8", "int16", "int32", "uint8", "uint16", "uint32", "complex64"),
    *("float16", "bfloat16", "float32", "int4", "uint4"),
    *("float8_e3m4", "float8_e4m3", "float8_e4m3b11fnuz", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2"),
    *("float8_e5m2fnuz", "float8_e8m0fnu"),
]
LIES_THERE = {"bool_", "int8", "float16", "bfloat16", "float32", "complex64", "uint32"}


def bits(array: Any) -> bytes:
    return numpy.asarray(array).tobytes()


def check_same(sent: Any, received: Any) -> None:
    assert isinstance(received, jax.Array)
    assert (received.dtype, received.shape, received.weak_type) == (sent.dtype, sent.shape, sent.weak_type)
    assert received.sharding == sent.sharding
    assert bits(received) == bits(sent)


def types() -> None:
    for name in TYPES:
        dtype = getattr(jnp, name, None)
        if dtype is None:
            continue  # not in this release
        for shape in ((), (0,), (7,), (0, 3), (300, 400)):
            sent = jnp.asarray(numpy.arange(int(numpy.prod(shape))).reshape(shape) % 7).astype(dtype)
            received = there_and_back(sent)
            check_same(sent, received)
            if name in LIES_THERE and shape == (300, 400):
                assert lies_in_a_queue(received.unsafe_buffer_pointer()), name
    weak = jnp.asarray(5.0)
    assert weak.weak_type
    check_same(weak, there_and_back(weak))


def with_64_bits() -> None:
    jax.config.update("jax_enable_x64", True)
    for name in ("int64", "uint64", "float64", "complex128"):
        sent = jnp.arange(50_000).astype(name)
        received = there_and_back(sent)
        check_same(sent, received)
        assert lies_in_a_queue(received.unsafe_buffer_pointer()), name


def forms() -> None:
    large = jnp.arange(120_000.0).reshape(300, 400)
    for sent in (large.T, large[::2], large[5:, 7], jnp.broadcast_to(large[0], (300, 400)), large[3, 4]):
        check_same(sent, there_and_back(sent))
    tree = {"weights": [large, large + 1], "step": jnp.int32(7), "name": "net", "same": large}
    received = there_and_back(tree)
    assert received["weights"][0] is received["same"]
    for one, other in zip(jax.tree.leaves(tree), jax.tree.leaves(received), strict=True):
        assert bits(one) == bits(other) if isinstance(one, jax.Array) else one == other


def lifetime() -> None:
    queue: Any = conveyor.Queue()
    queue.put(jnp.ones(100_000))
    received = queue.get(timeout=5)
    assert lent(queue) > 0
    view = numpy.asarray(received)
    assert not view.flags.writeable, "JAX's arrays do not change"
    del received
    assert lent(queue) > 0, "NumPy's view keeps it"
    del view
    assert lent(queue) == 0
    queue.put(jnp.ones(100_000))
    doubled = jax.jit(lambda array: array * 2)(queue.get(timeout=5))
    assert float(doubled.sum()) == 200_000
    assert lent(queue) == 0, "what is computed from it does not"
    for number in range(300):  # while JAX's threads compute, which have the last of each
        queue.put(jnp.full(100_000, number))
        doubled = jnp.sort(queue.get(timeout=5)) + doubled
    jax.block_until_ready(doubled)
    assert float(doubled[0]) == 2 + sum(range(300))
    del doubled
    assert lent(queue) == 0


def donation() -> None:
    queue: Any = conveyor.Queue()
    queue.put(jnp.ones(100_000))
    received = queue.get(timeout=5)
    made = jax.jit(lambda array: array + 1, donate_argnums=0)(received)
    assert float(made.sum()) == 200_000
    del received, made
    assert lent(queue) == 0


def topic() -> None:
    topic: Any = conveyor.Topic()
    first, second = topic.subscribe(), topic.subscribe()
    sent = jnp.arange(100_000.0)
    topic.publish(sent)
    one, other = first.get(timeout=5), second.get(timeout=5)
    check_same(sent, one)
    made = jax.jit(lambda array: array.at[:].set(-1), donate_argnums=0)(one)
    jax.block_until_ready(made)
    check_same(sent, other)


def stores() -> None:
    sent = jnp.arange(100_000.0)
    store: Any = conveyor.SharedDict()
    store["array"] = sent
    check_same(sent, store["array"])
    queue: Any = conveyor.Queue()
    queue.put(sent)
    queue.lease(timeout=5).release()
    with queue.lease(timeout=5) as again:
        check_same(sent, again)


def several_devices() -> None:
    jax.config.update("jax_num_cpu_devices", 2)
    one, other = jax.devices()
    received = there_and_back(jax.device_put(jnp.arange(100_000.0), other))
    assert received.devices() == {one}, "as with pickle, it lies on the device for new arrays"
    assert float((jax.device_put(jnp.ones(100_000), other) + received)[5]) == 6, "and may go to any other"


def deleted() -> None:
    array = jnp.arange(100_000.0)
    array.delete()
    queue: Any = conveyor.Queue()
    with pytest.raises(RuntimeError, match="deleted"):
        queue.put(array)
    assert queue.empty()


def send_and_die(queue: Any) -> None:
    queue.put(jnp.arange(100_000, dtype=jnp.bfloat16))
    os.kill(os.getpid(), signal.SIGKILL)


def dead_sender() -> None:
    context = multiprocessing.get_context("spawn")
    queue: Any = conveyor.Queue()
    process = context.Process(target=send_and_die, args=(queue,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    received = queue.get(timeout=5)
    check_same(jnp.arange(100_000, dtype=jnp.bfloat16), received)
    assert lies_in_a_queue(received.unsafe_buffer_pointer())
    process.close()


if __name__ == "__main__":
    globals()[sys.argv[1]]()
