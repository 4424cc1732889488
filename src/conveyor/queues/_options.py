"""The arguments of a queue, checked, as the core takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._memory.devices import Cuda, codec_with

if TYPE_CHECKING:
    from ..codecs import Codec

__all__ = ["checked_bounds", "checked_codec", "checked_lease"]

_MOST_ATTEMPTS = 2**16 - 1


def checked_bounds(maxsize: int, max_bytes: int | None) -> tuple[int, int]:
    """Both bounds as the core takes them, where 0 is unbounded.

    Raises:
        TypeError: `maxsize` or `max_bytes` is no integer.
        ValueError: `max_bytes` is not positive.
    """
    if not hasattr(maxsize, "__index__"):
        raise TypeError(f"maxsize is {maxsize!r}; it must be an integer, 0 for no bound")
    if max_bytes is not None and not hasattr(max_bytes, "__index__"):
        raise TypeError(f"max_bytes is {max_bytes!r}; it must be an integer, or None for no bound")
    if max_bytes is not None and max_bytes <= 0:
        raise ValueError(f"max_bytes is {max_bytes}; it must be at least 1, or None for no bound")
    limit = 2**63
    return min(max(int(maxsize), 0), limit), min(max_bytes or 0, limit)


def checked_codec(codec: str | Codec, cuda: Cuda | None = None) -> str | Codec:
    """The codec that is meant: "auto", "pickle" or an object; see `conveyor.codecs.resolve`.

    Args:
        codec: a name or an object.
        cuda: see `conveyor._memory.devices.codec_with`, also for the error.
    """
    if isinstance(codec, str) and codec == "auto":
        return codec_with("auto", cuda)
    from ..codecs import resolve

    return codec_with(resolve(codec), cuda)


def checked_lease(lease_seconds: float | None, max_attempts: int | None) -> tuple[int, float]:
    """The bounds of leases as the core takes them, where 0 is unbounded.

    Raises:
        TypeError: they are no numbers.
        ValueError: they are not positive.
    """
    if max_attempts is not None and not hasattr(max_attempts, "__index__"):
        raise TypeError(f"max_attempts is {max_attempts!r}; it must be an integer, or None for no bound")
    if max_attempts is not None and not 1 <= max_attempts <= _MOST_ATTEMPTS:
        raise ValueError(
            f"max_attempts is {max_attempts}; it must be 1 to {_MOST_ATTEMPTS}, or None for no bound"
        )
    if lease_seconds is not None and not lease_seconds > 0:
        raise ValueError(f"lease_seconds is {lease_seconds}; it must be above 0, or None for no bound")
    return max_attempts or 0, float(lease_seconds or 0)
