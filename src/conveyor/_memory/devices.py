"""`cuda=`: how tensors in the memory of a device travel, beside a codec's name.

Torch has one handle for such memory, of CUDA; it can be had once, while the sender lives. "copy" is a way for all
devices: by value, through the memory of the host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ..codecs import Codec

__all__ = ["CopyingDevices", "Cuda", "codec_with", "copies_devices", "set_default"]

Cuda = Literal["copy", "share"]
"""By value, through the memory of the host; or by torch's handle, where there is one and it can be used."""

_default: Cuda = "share"


class CopyingDevices(str):
    """The name of a codec that pickles; tensors in the memory of a device go by value."""

    __slots__ = ()
    copies_devices = True  # the core looks for it


def set_default(cuda: Cuda | None) -> None:
    """Say what None means; None: "share".

    Raises:
        ValueError: as for `copies_devices`.
    """
    global _default
    _default = "copy" if cuda is not None and copies_devices(cuda) else "share"


def copies_devices(cuda: Cuda | None) -> bool:
    """Whether tensors in the memory of a device go by value.

    Args:
        cuda: what the user said; None: nothing.

    Raises:
        ValueError: it is none of these.
    """
    if cuda is None:
        return _default == "copy"
    if cuda not in ("copy", "share"):
        raise ValueError(
            f"cuda is {cuda!r:.100}; it must be 'copy' (tensors on a GPU go through host memory), 'share' (torch's "
            "handle), or None for what conveyor.install was told, which is 'share' otherwise"
        )
    return cuda == "copy"


def codec_with(codec: str | Codec, cuda: Cuda | None) -> str | Codec:
    """The codec, with what was said of devices.

    Args:
        codec: "auto", "pickle" or an object.
        cuda: as for `copies_devices`.

    Raises:
        ValueError: as for `copies_devices`; or the codec is one that takes no tensors of devices.
    """
    copies = copies_devices(cuda)
    if isinstance(codec, str):
        return CopyingDevices(codec) if copies else codec
    if cuda == "copy":
        raise ValueError(
            f"cuda is 'copy', which goes with codec='auto' or 'pickle', and codec is {codec.name!r:.100}, which says "
            "itself how tensors become bytes; leave one of the two out"
        )
    return codec
