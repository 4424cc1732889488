"""The device `far`, built from far_device.cpp: no GPU, but memory that the processor cannot read."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from tensor_items import torch

_SOURCE = Path(__file__).with_suffix(".cpp")
_BUILD = Path(__file__).parents[2] / "build"


def _library() -> Path:
    # Built once for each torch.
    key = _SOURCE.read_bytes() + f"{torch.__version__} {sys.version}".encode()
    path = _BUILD / f"far_device-{hashlib.sha256(key).hexdigest()[:16]}.so"
    if not path.exists():
        its = Path(torch.__file__).parent
        fresh = path.with_suffix(f".{os.getpid()}")
        _BUILD.mkdir(exist_ok=True)
        command = [os.environ.get("CXX", "g++"), "-shared", "-fPIC", "-O0", "-std=c++20", "-w"]
        command += [
            f"-I{its}/include",
            f"-I{its}/include/torch/csrc/api/include",
            str(_SOURCE),
            "-o",
            str(fresh),
        ]
        command += [f"-L{its}/lib", "-ltorch_cpu", "-lc10"]
        subprocess.run(command, check=True, timeout=300)
        fresh.rename(path)
    return path


def load() -> None:
    """Make the device known in this process; idempotent."""
    if hasattr(torch, "far"):
        return
    torch.utils.rename_privateuse1_backend("far")
    torch.ops.load_library(str(_library()))
    module: Any = ModuleType("torch.far")
    module.is_available = lambda: True
    module.device_count = lambda: 1
    module.current_device = lambda: 0
    module._is_in_bad_fork = lambda: False
    module.manual_seed_all = lambda seed: None
    torch._register_device_module("far", module)


def to_far(tensor: Any) -> Any:
    """The same on the device: of the same strides, on a storage of the same size, with the same marks."""
    plain = tensor.detach()
    if tensor.is_conj():
        plain = plain.conj()
    if tensor.is_neg():
        plain = plain._neg_view()
    bytes_ = torch.empty(0, dtype=torch.uint8).set_(plain.untyped_storage())
    storage = bytes_.to("far").untyped_storage()
    made = torch.empty(0, dtype=plain.dtype, device="far")
    made.set_(storage, plain.storage_offset(), plain.shape, plain.stride())
    made = made.conj() if tensor.is_conj() else made
    made = made._neg_view() if tensor.is_neg() else made
    if isinstance(tensor, torch.nn.Parameter):
        return torch.nn.Parameter(made, requires_grad=tensor.requires_grad)
    return made.requires_grad_(tensor.requires_grad)


def copied_bytes() -> int:
    """Of all copies to, from and on the device, in this process."""
    count: int = torch.ops.far_device.copied()
    return count
