"""Tensors of every kind that travel by value, and what they must be where they arrive."""

from __future__ import annotations

import importlib
import math
import warnings
from collections.abc import Callable
from typing import Any

import pytest

torch: Any = importlib.import_module("torch")
torch.set_num_threads(1)  # a fork has none of the others


untyped: Callable[[Any], Any] = getattr(torch.Tensor, "untyped_storage", None) or torch.Tensor._storage
"""Its storage; before torch 2 under another name."""

needs_torch_2 = pytest.mark.skipif(
    not hasattr(torch.Tensor, "untyped_storage"), reason=f"torch {torch.__version__} itself cannot send it"
)


def tensor_types() -> list[Any]:
    """Every type that this torch can make a tensor of and view as bytes."""
    found = []
    for name in sorted(vars(torch)):
        dtype = getattr(torch, name)
        if not isinstance(dtype, torch.dtype) or name.startswith(("q", "bits")):
            continue
        try:
            with warnings.catch_warnings():  # of experimental types
                warnings.simplefilter("ignore")
                torch.empty(1, dtype=dtype).view(torch.uint8)
        except (RuntimeError, NotImplementedError):
            continue
        if dtype not in found:
            found.append(dtype)
    return found


def filled(shape: tuple[int, ...], dtype: Any, seed: int = 0) -> Any:
    """Arbitrary bits of a type; those of a bool are 0 or 1."""
    generator = torch.Generator().manual_seed(seed)
    most = 2 if dtype is torch.bool else 256
    size = math.prod(shape) * torch.empty(1, dtype=dtype).element_size()
    return torch.randint(0, most, (size,), dtype=torch.uint8, generator=generator).view(dtype).reshape(shape)


def bits(tensor: Any) -> Any:
    """What a plain tensor's elements are, bit by bit."""
    return tensor.detach().resolve_conj().resolve_neg().contiguous().reshape(-1).view(torch.uint8)


def check_same(sent: Any, received: Any) -> None:
    """Type, form, and every bit."""
    assert type(received) is type(sent)
    assert (received.dtype, received.shape, received.requires_grad) == (
        sent.dtype,
        sent.shape,
        sent.requires_grad,
    )
    assert (received.is_conj(), received.is_neg()) == (sent.is_conj(), sent.is_neg())
    assert torch.equal(bits(sent), bits(received))


class Subclass(torch.Tensor):  # type: ignore[misc]
    """Pickled by torch's own way for subclasses, with what it has beside its elements."""

    label: str


def a_subclass() -> Any:
    made = torch.arange(12.0).reshape(3, 4).as_subclass(Subclass)
    made.label = "mine"
    return made


FORMS: dict[str, Callable[[], Any]] = {
    "scalar": lambda: torch.tensor(7.5),
    "empty": lambda: torch.empty(0, 3),
    "small": lambda: torch.arange(12.0).reshape(3, 4),
    "large": lambda: torch.arange(300_000.0).reshape(300, 1000),
    "transposed": lambda: torch.arange(300_000.0).reshape(300, 1000).t(),
    "channels last": lambda: torch.rand(2, 3, 40, 50).contiguous(memory_format=torch.channels_last),
    "offset": lambda: torch.arange(100_000)[500:90_000],
    "stepped": lambda: torch.arange(100_000)[::3],
    "column": lambda: torch.arange(100_000).reshape(1000, 100)[:, 7],
    "expanded": lambda: torch.arange(50).reshape(50, 1).expand(50, 2000),
    "leaf": lambda: torch.rand(7, requires_grad=True),
    "parameter": lambda: torch.nn.Parameter(torch.rand(300, 300)),
    "frozen parameter": lambda: torch.nn.Parameter(torch.arange(9), requires_grad=False),
    "conjugate": lambda: torch.randn(5000, dtype=torch.complex64).conj(),
    "negative": lambda: torch.randn(5000, dtype=torch.complex128).conj().imag,
    "sparse's parts": lambda: torch.eye(40).to_sparse().values(),
}
