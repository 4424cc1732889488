"""Finds the codec that the user means, by name or as an object."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from .codec import Codec

__all__ = ["resolve"]

_NATIVE = ("auto", "pickle")

# name -> file, class, and the package that the extra of the same name brings
_SHIPPED = {
    "plain": ("plain_codec", "PlainCodec", None),
    "msgpack": ("msgpack_codec", "MsgpackCodec", "msgspec"),
    "json": ("json_codec", "JsonCodec", None),
    "arrow": ("arrow_codec", "ArrowCodec", "pyarrow"),
    "raw": ("raw_codec", "RawCodec", None),
}

_RIGHT = (
    f"it must be one of {', '.join(map(repr, (*_NATIVE, *_SHIPPED)))}, "
    "or an object with a name, dumps and loads (conveyor.codecs.Codec)"
)

_instances: dict[str, Codec] = {}


def resolve(codec: str | Codec) -> str | Codec:
    """The codec that `codec` names or is.

    Args:
        codec: "auto", "pickle", "plain", "msgpack", "json", "arrow", "raw", or a codec of the user's own.

    Returns:
        For "auto" and "pickle", which the core implements, the name. For the other names the codec,
        the same object each time; its packages are imported now. An object is returned as it is.

    Raises:
        ValueError: no codec has that name, or a codec of the user's own has a name that is empty or taken.
        TypeError: it is neither a name nor an object with `name`, `dumps` and `loads`.
        ImportError: the codec's extra is not installed; the text says how to install it.
    """
    if isinstance(codec, str):
        return _named(str(codec))
    if isinstance(codec, type):
        raise TypeError(f"codec is the class {codec.__qualname__}; pass an instance: {_RIGHT}")
    missing = [name for name in ("name", "dumps", "loads") if not hasattr(codec, name)]
    if missing:
        raise TypeError(f"codec is {codec!r:.100}, which has no {' and no '.join(missing)}; {_RIGHT}")
    for method in ("dumps", "loads"):
        if not callable(getattr(codec, method)):
            raise TypeError(f"codec is {codec!r:.100}, whose {method} cannot be called; {_RIGHT}")
    name = cast(object, codec.name)  # the user's code: whether it is a str is to be seen
    if not isinstance(name, str):
        raise TypeError(f"codec is {codec!r:.100}, whose name is {name!r:.100}; its name must be a str")
    if not name:
        raise ValueError(f"codec is {codec!r:.100}, whose name is empty; its name must tell it from others")
    if (name in _NATIVE or name in _SHIPPED) and codec is not _instances.get(name):
        raise ValueError(
            f"codec is {codec!r:.100}, whose name {name!r} is that of a shipped codec; give it another"
        )
    return codec


def _named(name: str) -> str | Codec:
    if name in _NATIVE:
        return name
    found = _instances.get(name)
    if found is not None:
        return found
    if name not in _SHIPPED:
        raise ValueError(f"codec is {name!r:.100}; {_RIGHT}")
    file, class_name, package = _SHIPPED[name]
    try:
        made: Codec = getattr(import_module(f".{file}", __package__), class_name)()
    except ModuleNotFoundError as error:
        # Only if the package itself is not there: one that is there and fails has its own story to tell.
        if package is None or error.name != package:
            raise
        raise ImportError(
            f"codec is {name!r}, which needs the package {package}: pip install 'conveyor[{name}]'",
            name=package,
        ) from error
    return _instances.setdefault(name, made)  # another thread may have been faster
