"""How torch's tensors become pickles whose bytes go beside them, as arrays do: one copy in, none out, and no handle.

Torch's own reducers for processes put handles into a pickle: of shared memory that can be had once, while the sender
lives. An item of ours may be read more than once, and after its sender's end, so that the bytes themselves are in it.

Tensors that share a storage share it again where they arrive. Whether another tensor of the item has the same storage
is not known when the first comes by; if one has, the item is pickled once more, and of each such storage goes what all
of its tensors cover. Of a storage that one tensor has alone goes what that needs. Objects may make tensors anew
whenever they are pickled: of storages that come by for the first time in a later round everything goes at once, so
that they are not the cause of another one.

What lies in the memory of a device goes by torch's handle, where that can be used; or, if the queue was made with
`cuda="copy"`, the same way as all others, of a copy in the host's memory, and onto its device again where it arrives.
"""

from __future__ import annotations

import importlib
import math
import operator
from collections.abc import Callable
from pickle import PickleBuffer
from typing import Any

from .._native import (
    ForeignBytes,
    item_copies_devices,
    notes_of_item,
    place_of_item,
    reading_of_item,
    tensor_capsule,
)
from .arrays import extents_of
from .shared_storages import reduce_shared

__all__ = ["REDUCERS", "empty"]

# Any: type checkers pass over this file where torch is not installed, too.
torch: Any = importlib.import_module("torch")
_torchs: Any = importlib.import_module("torch.multiprocessing.reductions")
_tensor_from: Any = importlib.import_module("torch.utils.dlpack").from_dlpack
# Before torch 2 under another name, and types do not say their size before 2.1.
_untyped: Any = getattr(torch.Tensor, "untyped_storage", None) or torch.Tensor._storage
_size_of: Callable[[Any], int] = (
    operator.attrgetter("itemsize")
    if hasattr(torch.float32, "itemsize")
    else lambda dtype: torch.empty((), dtype=dtype, device="cpu").element_size()
)
_TAKES_SPARSE = hasattr(_torchs, "reduce_sparse_tensor")  # from torch 2 on
_check_names: Any = getattr(_torchs, "check_serializing_named_tensor", None)  # not in recent releases

# As DLPack has them; any other type goes as bytes of its size, and is viewed as what it is.
_INT, _UINT, _FLOAT, _BFLOAT, _COMPLEX, _BOOL = 0, 1, 2, 4, 5, 6
_CODES: dict[str, tuple[int, int]] = {
    "float32": (_FLOAT, 32),
    "float64": (_FLOAT, 64),
    "float16": (_FLOAT, 16),
    "bfloat16": (_BFLOAT, 16),
    "complex64": (_COMPLEX, 64),
    "complex128": (_COMPLEX, 128),
    "uint8": (_UINT, 8),
    "int8": (_INT, 8),
    "int16": (_INT, 16),
    "int32": (_INT, 32),
    "int64": (_INT, 64),
}
_BY_SIZE = {1: (_UINT, 8), 2: (_INT, 16), 4: (_INT, 32), 8: (_INT, 64), 16: (_COMPLEX, 128)}
_NAMES: dict[Any, str] = {}
"""Of types that have come by."""

_CONJUGATE, _NEGATIVE, _REQUIRES_GRAD, _PARAMETER = 1, 2, 4, 8
# A tensor with gaps goes without them if the gaps are larger than itself, and large at all.
_LARGE_GAP = 4096


class _Span:
    """Bytes of a storage, from `first` to `end`; `of_all` if more than one tensor of the item has it.

    It keeps the storage for the time of all rounds: another one would get the same address.
    """

    __slots__ = ("end", "first", "has_come_by", "of_all", "storage", "token")

    def __init__(self, storage: Any) -> None:
        self.first = self.end = 0
        self.storage = storage
        self.of_all = False
        self.has_come_by = False  # in this round
        self.token: _Token | None = None


class _Token:
    """The storage that several tensors of an item have; pickled once."""

    __slots__ = ("buffer", "device")

    def __init__(self, buffer: PickleBuffer, device: str | None) -> None:
        self.buffer = buffer
        self.device = device

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _storage_of, (self.buffer, self.device)


def _reduce_tensor(tensor: Any) -> Any:
    notes = notes_of_item()
    device = None if tensor.is_cpu else _device_to_copy(tensor)
    if (
        notes is None
        or device is _STAYS
        or tensor.layout is not torch.strided
        or tensor.is_quantized
        or tensor.is_nested
        or (tensor.requires_grad and not tensor.is_leaf)
    ):
        return _reduce_other(tensor, notes)
    storage = _untyped(tensor)
    if device is None and _stays_shared(storage):
        return _torchs.reduce_tensor(tensor)
    if _check_names is not None:
        _check_names(tensor)
    if tensor._backward_hooks:
        torch.utils.hooks.warn_if_has_hooks(tensor)
    if "again" in notes:
        _begin_again(notes)
    size, shape, strides = tensor.element_size(), tuple(tensor.shape), tensor.stride()
    first = tensor.storage_offset() * size
    needed = tensor.numel() * size
    dense = tensor.is_contiguous()
    end = first + (needed if dense or not needed else (_last(shape, strides) + 1) * size)
    name = _NAMES.get(tensor.dtype) or _name_of(tensor.dtype)
    flags = (
        (_CONJUGATE if tensor.is_conj() else 0)
        | (_NEGATIVE if tensor.is_neg() else 0)
        | (_REQUIRES_GRAD if tensor.requires_grad else 0)
        | (_PARAMETER if type(tensor) is torch.nn.Parameter else 0)
    )
    if not needed:  # it may lie anywhere, beyond its storage, too
        return _made_of(bytearray(), name, shape, strides, flags, device)
    if end > storage.nbytes():
        raise ValueError(
            f"cannot put a tensor of shape {shape}: it has been resized away, its storage has {storage.nbytes()} "
            f"bytes of the {end} that it needs"
        )
    address = tensor.data_ptr()
    if not address and tensor._is_zerotensor():
        return _reduce_tensor(tensor.clone())
    span = notes.get(storage._cdata) or _span_of(storage, notes)
    if span.of_all or span.has_come_by:
        token = _token_of(span, first, end, notes)
        return _tensor_on, (token, name, (first - span.first) // size, shape, strides, flags)
    span.first, span.end, span.has_come_by = first, end, True
    if not dense and end - first > 2 * needed + _LARGE_GAP:
        owner = torch.empty(shape, dtype=tensor.dtype, device="cpu")
        owner.copy_(tensor.detach())
        flags &= ~(_CONJUGATE | _NEGATIVE)
        buffer = _bytes_at(owner.data_ptr(), needed, owner)
        dense = True
    else:
        buffer = _bytes_at(address, end - first, tensor) if device is None else _copied(storage, first, end)
    return _made_of(buffer, name, shape, None if dense else strides, flags, device)


def _made_of(
    buffer: Any,
    name: str,
    shape: tuple[int, ...],
    strides: tuple[int, ...] | None,
    flags: int,
    device: str | None,
) -> Any:
    arguments = (PickleBuffer(buffer), name, shape, strides, flags)
    return (_tensor_of, arguments) if device is None else (_tensor_at, (device, *arguments))


def _stays_shared(storage: Any) -> bool:
    if not storage.is_shared() or place_of_item() != "queue":
        return False
    if torch.multiprocessing.get_sharing_strategy() != "file_descriptor":
        return True
    descriptor: int = storage._share_fd_cpu_()[0]
    return descriptor >= 0  # a mapped file has none that could be passed on


_STAYS = ""
"""In the place of the name of a device: what lies there is not copied."""


def _device_to_copy(tensor: Any) -> str:
    return str(tensor.device) if item_copies_devices() and not tensor.is_meta else _STAYS


def _copied(storage: Any, first: int, end: int) -> Any:
    """Bytes of a storage on a device."""
    if first == end:
        return bytearray()
    there = torch.empty(0, dtype=torch.uint8, device=storage.device)
    copy = there.set_(storage, first, (end - first,), (1,)).cpu()
    return _bytes_at(copy.data_ptr(), end - first, copy)


def _bytes_at(address: int, size: int, owner: Any) -> Any:
    if not address:
        raise TypeError(
            f"cannot put a {type(owner).__name__} that has no memory, as within a functional transform"
        )
    return ForeignBytes(address, size, owner)


def _begin_again(notes: dict[Any, Any]) -> None:
    """Forget what is only true of the round before."""
    if notes["again"]:
        return  # it is still going on
    del notes["again"]
    notes["rounds"] = True
    for span in notes.values():
        if span is not True:
            span.token = None
            span.has_come_by = False


def _span_of(storage: Any, notes: dict[Any, Any]) -> _Span:
    place = storage._cdata
    span: _Span | None = notes.get(place)
    if span is None:
        span = notes[place] = _Span(storage)
        if "rounds" in notes:
            _take_whole(span)
    return span


def _take_whole(span: _Span) -> None:
    span.first, span.end, span.of_all = 0, span.storage.nbytes(), True


def _token_of(span: _Span, first: int, end: int, notes: dict[Any, Any]) -> _Token:
    """What stands for a storage that several have; if this is news, the item is pickled once more."""
    if not span.of_all or first < span.first or end > span.end:
        if span.of_all or "rounds" in notes:
            _take_whole(span)
        else:
            # Views of other types begin at multiples of their own size.
            span.first = min(first, span.first) & ~15
            span.end = max(end, span.end)
            span.of_all = True
        span.token = None
        notes["again"] = True
    if span.token is None:
        storage, size = span.storage, span.end - span.first
        if storage.device.type == "cpu":
            span.token = _Token(PickleBuffer(_bytes_at(storage.data_ptr() + span.first, size, storage)), None)
        else:
            copy = _copied(storage, span.first, span.end)
            span.token = _Token(PickleBuffer(copy), str(storage.device))
    return span.token


def _last(shape: tuple[int, ...], strides: tuple[int, ...]) -> int:
    return sum((extent - 1) * stride for extent, stride in zip(shape, strides, strict=True))


def _name_of(dtype: Any) -> str:
    name = _NAMES[dtype] = str(dtype).removeprefix("torch.")
    return name


def _reduce_other(tensor: Any, notes: dict[Any, Any] | None) -> Any:
    if notes is None or (tensor.requires_grad and not tensor.is_leaf):
        return _torchs.reduce_tensor(tensor)
    if tensor.layout is torch._mkldnn:
        raise TypeError("cannot put a tensor of layout torch._mkldnn; put tensor.to_dense()")
    if tensor.is_quantized or (tensor.layout is not torch.strided and not _TAKES_SPARSE):
        return tensor.__reduce_ex__(5)
    if tensor.is_cpu or tensor.is_meta:
        return _torchs.reduce_tensor(tensor)
    if item_copies_devices():  # by its parts, of the copy
        return _on_device, (tensor.detach().cpu(), str(tensor.device), tensor.requires_grad)
    if (place := place_of_item()) != "queue":
        raise TypeError(
            f"cannot keep a tensor on {tensor.device} in a {_PLACES[place]}: torch's handle of it can be had once, "
            f"while the process that has it lives; {_COPY}"
        )
    return _from_handle, (str(tensor.device), *_torchs.reduce_tensor(tensor))


_PLACES = {"named": "named queue", "topic": "topic", "bytes": "store, pipe or broker"}
# Such that all fits into what a queue keeps of an error.
_COPY = "put tensor.cpu(), or say cuda='copy' where this is made"


def _reduce_storage(storage: Any) -> Any:
    notes = notes_of_item()
    if notes is None:
        return _torchs.reduce_storage(storage)
    device = storage.device.type
    if device == "cpu":
        if not storage.nbytes():
            return _torchs.reduce_storage(storage)
        if _stays_shared(storage):
            return _reduce_shared(storage)
    elif device == "meta":
        return _torchs.reduce_storage(storage)
    elif not item_copies_devices():
        raise TypeError(
            f"cannot put a storage on {storage.device}, of a tensor or of a subclass of Tensor: torch has no handle "
            f"for it; {_COPY}"
        )
    if "again" in notes:
        _begin_again(notes)
    span = _span_of(storage, notes)
    if not (span.has_come_by or span.of_all):
        _take_whole(span)
    return _same, (_token_of(span, 0, storage.nbytes(), notes),)


def _reduce_shared(storage: Any) -> Any:
    if torch.multiprocessing.get_sharing_strategy() == "file_descriptor":
        return reduce_shared(storage)
    return _torchs.reduce_storage(storage)


REDUCERS: dict[Callable[[Any], Any], Callable[[Any], Any]] = {
    _torchs.reduce_tensor: _reduce_tensor,
    _torchs.reduce_storage: _reduce_storage,
}
"""By torch's own, which they take the place of."""


def empty(memory: Callable[[int], Any], shape: Any, dtype: Any) -> Any:
    """A tensor in memory that somebody gives.

    Args:
        memory: returns so many bytes, writable; or None: let it lie anywhere.
        shape: an integer, or several.
        dtype: None: torch's default.

    Raises:
        TypeError, ValueError: it is no shape, or no type of torch's.
    """
    dtype = torch.get_default_dtype() if dtype is None else dtype
    if not isinstance(dtype, torch.dtype):
        raise TypeError(f"dtype is {dtype!r}; it must be a type of torch's, such as torch.float32")
    extents = extents_of(shape)
    within = memory(math.prod(extents) * _size_of(dtype))
    if within is None:
        return torch.empty(extents, dtype=dtype, device="cpu")
    return _tensor_of(within, _name_of(dtype), extents, None, 0)


# -- where they arrive ----------------------------------------------------------------------------------------


def _tensor_of(
    buffer: Any, name: str, shape: tuple[int, ...], strides: tuple[int, ...] | None, flags: int
) -> Any:
    code = _CODES.get(name)
    if code is not None:
        tensor = _tensor_in(buffer, code, shape, strides)
    else:
        dtype = getattr(torch, name)
        tensor = _tensor_in(buffer, _BY_SIZE[_size_of(dtype)], shape, strides).view(dtype)
    return _marked(tensor, flags) if flags else tensor


def _tensor_at(
    device: str, buffer: Any, name: str, shape: tuple[int, ...], strides: tuple[int, ...] | None, flags: int
) -> Any:
    its: tuple[int, ...] = torch.empty(shape, device="meta").stride() if strides is None else strides
    return _tensor_on(_storage_of(buffer, device), name, 0, shape, its, flags)


def _tensor_in(
    buffer: Any, code: tuple[int, int], shape: tuple[int, ...], strides: tuple[int, ...] | None
) -> Any:
    try:
        capsule = tensor_capsule(buffer, 0, *code, shape, strides)
    except (
        BufferError
    ):  # an event's, which its other subscribers have, too; and torch knows no read-only tensors
        capsule = tensor_capsule(bytearray(buffer), 0, *code, shape, strides)
    return _tensor_from(capsule)


def _tensor_on(
    storage: Any, name: str, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], flags: int
) -> Any:
    tensor = torch.empty(0, dtype=getattr(torch, name), device=storage.device)
    tensor.set_(storage, offset, shape, strides)
    return _marked(tensor, flags) if flags else tensor


def _marked(tensor: Any, flags: int) -> Any:
    if flags & _CONJUGATE:
        tensor = tensor.conj()
    if flags & _NEGATIVE:
        tensor = tensor._neg_view()
    if flags & _PARAMETER:
        return torch.nn.Parameter(tensor, requires_grad=bool(flags & _REQUIRES_GRAD))
    return tensor.requires_grad_() if flags & _REQUIRES_GRAD else tensor


def _storage_of(buffer: Any, device: str | None) -> Any:
    size = memoryview(buffer).nbytes
    tensor = _tensor_in(buffer, (_UINT, 8), (size,), None)
    return _untyped(tensor if device is None else tensor.to(device))


def _on_device(tensor: Any, device: str, requires_grad: bool) -> Any:
    return tensor.to(device).requires_grad_(requires_grad)


def _from_handle(device: str, rebuild: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    if (reading := reading_of_item()) != "once":
        what = "lease" if reading == "lease" else "look at"
        raise TypeError(
            f"cannot {what} a tensor on {device}: torch's handle of it can be had once, by get; {_COPY}"
        )
    return rebuild(*arguments)


def _same(storage: Any) -> Any:
    return storage


def _has_bool() -> bool:
    try:
        return _tensor_from(tensor_capsule(bytearray(1), 0, _BOOL, 8, (1,), (1,))).dtype is torch.bool
    except (RuntimeError, TypeError):
        return False  # an older torch


if _has_bool():
    _CODES["bool"] = _BOOL, 8
