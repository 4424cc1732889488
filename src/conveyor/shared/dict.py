"""SharedDict: a dict that all processes see, without a server process."""

from __future__ import annotations

import time
from collections.abc import (
    Callable,
    ItemsView,
    Iterable,
    Iterator,
    KeysView,
    Mapping,
    MutableMapping,
    ValuesView,
)
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast, overload

from .._memory.labels import checked_label
from .._memory.references import RegionReference, forget_received, reference_to_region
from .._native import DictTable, Region
from .._public import public
from ..queues._options import checked_codec
from ._store import checked_bound, open_region, wait_for
from .key_update import KeyUpdate

if TYPE_CHECKING:
    from .._memory.devices import Cuda
    from ..codecs import Codec

__all__ = ["SharedDict"]

K = TypeVar("K")
V = TypeVar("V")
_NONE: Any = object()


class _Keys(KeysView[K]):
    _mapping: SharedDict[K, Any]

    def __iter__(self) -> Iterator[K]:
        return iter(self._mapping._snapshot(True, False))

    def __reversed__(self) -> Iterator[K]:
        return reversed(self._mapping._snapshot(True, False))


class _Values(ValuesView[V]):
    _mapping: SharedDict[Any, V]

    def __iter__(self) -> Iterator[V]:
        return iter(self._mapping._snapshot(False, True))

    def __contains__(self, value: object) -> bool:
        return value in self._mapping._snapshot(False, True)

    def __reversed__(self) -> Iterator[V]:
        return reversed(self._mapping._snapshot(False, True))


class _Items(ItemsView[K, V]):
    _mapping: SharedDict[K, V]

    def __iter__(self) -> Iterator[tuple[K, V]]:
        return iter(self._mapping._snapshot(True, True))

    def __reversed__(self) -> Iterator[tuple[K, V]]:
        return reversed(self._mapping._snapshot(True, True))


@public
class SharedDict(DictTable[K, V]):
    """A dict in shared memory: what `multiprocessing.Manager().dict()` is for, without a server.

    It has the methods of a plain dict, and keeps the order in which keys came. Any number of processes and threads
    may use it at once; the handle passes through queues, pipes, `Pool` arguments and every start method. Each call is
    done whole or not at all, even if the process is killed in the middle. A value that is read is a copy: to change
    one, assign it, or change it in a block that nobody else can disturb:

        with d.update("hits") as v:
            v.value = v.get(0) + 1

    A queue, dict or array of conveyor can be a value. It is then a handle, which does not keep its memory: hold
    another one somewhere for as long, or give it a name; else reading it raises `SegmentGone`.

    Iteration, `keys()`, `values()` and `items()` go over a copy of one moment. `update(mapping)` and `|=` put one pair
    after the other.

    Keys are equal as in a plain dict: 1, 1.0 and True are one. They may be None, numbers, str, bytes, dates, UUIDs,
    paths, and tuples and frozensets of these. Others can be keys if their copies are equal to them and pickled alike:
    enum members, frozen dataclasses.

    Args:
        content: a mapping or pairs to begin with; where the name is there already, it is left out.
        name: for unrelated processes of the same user; it lives until `conveyor.remove("shm://name")`.
        create: with a name: True: it must not exist; False: it must; None: made if need be.
        codec: how values become bytes, as for `Queue`; all who open a name must give the same one.
        max_bytes: bytes that keys, values and table may take, as the first who opens it says; None: no bound.
        label: what those who look from outside call it, as of a `Queue`.
        cuda: "copy": tensors on a GPU go through host memory, to their device again; else they are a TypeError.

    Raises:
        FileExistsError, FileNotFoundError: as `create` demands.
        OutOfMemory: the system has no memory for it. On writing, also: it would be more than `max_bytes`. Nothing is
            changed then.
        CorruptSegment: the memory is damaged; by any method.
        WrongKind: at that name lies something else.
    """

    _KIND: ClassVar[str] = "dict"

    def __init__(
        self,
        content: Mapping[K, V] | Iterable[tuple[K, V]] = (),
        /,
        *,
        name: str | None = None,
        create: bool | None = None,
        codec: str | Codec = "auto",
        max_bytes: int | None = None,
        label: str | None = None,
        cuda: Cuda | None = None,
    ) -> None:
        forget_received()
        label = checked_label(label)
        codec = checked_codec(codec, cuda)
        bound = checked_bound(max_bytes)
        region, is_new = open_region(self._KIND, name, create, label)
        self._attach(region, codec, bound)
        if is_new:
            self._put_all(content, {})

    def _attach(self, region: Region, codec: str | Codec, bound: int = 0) -> None:
        super().__init__(region, codec, bound)
        self._codec = codec

    @classmethod
    def on_region(cls, region: Region, codec: str | Codec) -> SharedDict[Any, Any]:
        """One on shared memory that exists already; for unpickling."""
        self: SharedDict[Any, Any] = cls.__new__(cls)
        self._attach(region, codec)
        return self

    @classmethod
    def fromkeys(cls, keys: Iterable[K], value: Any = None, /) -> SharedDict[K, Any]:
        """A new one, without a name, with these keys, each of that value."""
        content: Any = dict.fromkeys(keys, value)
        return cls(content)

    @property
    def name(self) -> str | None:
        """The name, or None."""
        return self._region.name or None

    @property
    def nbytes(self) -> int:
        """Bytes that keys, values and table take now."""
        return self._figures()[2]

    # -- changing ------------------------------------------------------------------------------------------

    def _put_all(self, content: Any, pairs: Mapping[Any, Any]) -> None:
        for key, value in _pairs(content):
            self[key] = value
        for key, value in pairs.items():
            self[key] = value

    @overload  # type: ignore[override]
    def update(self, /, **pairs: V) -> None: ...
    @overload
    def update(self, content: Mapping[K, V], /, **pairs: V) -> None: ...  # type: ignore[overload-overlap]
    @overload
    def update(self, content: list[tuple[K, V]], /, **pairs: V) -> None: ...  # type: ignore[overload-overlap]
    @overload
    def update(self, key: K, /) -> KeyUpdate[V]: ...
    @overload
    def update(self, content: Iterable[tuple[K, V]], /, **pairs: V) -> None: ...
    def update(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, /, *arguments: Any, **pairs: Any
    ) -> KeyUpdate[V] | None:
        """`d.update(mapping)`: take over its pairs. `with d.update(key) as v`: change one key, undisturbed.

        What has `keys()`, and any iterable but a str, bytes, tuple or frozenset, is pairs, as for a plain dict; these
        are put one after the other. Anything else is a key: see `updating`.

        Raises:
            TypeError: a tuple or frozenset that might be meant as pairs, like (("a", 1), ("b", 2)): call
                `update(dict(pairs))`, or `updating(key)`.
        """
        if len(arguments) > 1:
            raise TypeError(f"update expected at most 1 argument, got {len(arguments)}")
        if not arguments or not _is_key(arguments[0]):
            self._put_all(arguments[0] if arguments else (), pairs)
            return None
        key = arguments[0]
        if pairs:
            raise TypeError(
                f"update({key!r:.50}, ...) got pairs beside a key; put them by a call of their own"
            )
        return self.updating(key)

    def updating(self, key: K, timeout: float | None = None) -> KeyUpdate[V]:
        """A block in which this thread alone may change the key; whatever the key is.

            with d.updating(("a", 1), timeout=5) as v:
                v.value.append(3)

        In it, others who would write or remove the key wait until it is left (or its process is dead); who reads it
        gets the old value. The new one takes its place when the block is left; after an exception there is none.
        To enter blocks of two keys at a time is to risk that two processes wait for each other: always take them in the
        same order.

        Args:
            key: need not be there yet; then `v.value` raises KeyError until you assign it.
            timeout: seconds to wait for others who are in such a block.

        Raises (on entering):
            TimeoutError: it was not free in time.
            RuntimeError: this thread is in such a block of that key already.
        """
        hash(key)
        return KeyUpdate(self, key, timeout)

    # -- looking -------------------------------------------------------------------------------------------

    def wait(self, key: K, timeout: float | None = None, *, other_than: Any = _NONE) -> V:
        """The value of the key, as soon as it is there.

            price = d.wait("price")                         # until there is one
            price = d.wait("price", other_than=price)       # until it changes

        Nothing is missed that happens between the two: what counts is the value, not the moment. If it changes and
        changes back meanwhile, that is not noticed.

        Args:
            timeout: seconds; None: for ever.
            other_than: a value that does not count.

        Raises:
            TimeoutError: not in time.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        known = 0
        while True:
            version, now, value = self._look(key, known)
            if version not in (0, known) and (other_than is _NONE or value != other_than):
                found: V = value
                return found
            known = version
            left = None if deadline is None else max(deadline - time.monotonic(), 0)
            if not self._wait_changed(now, left):
                raise TimeoutError(
                    f"no {'' if other_than is _NONE else 'other '}value of {key!r} in {timeout} s"
                )

    def wait_for(self, predicate: Callable[[SharedDict[K, V]], Any], timeout: float | None = None) -> Any:
        """What `predicate(self)` gives, as soon as that is true; asked at once, and after each change.

        Returns:
            what it gave last, also when `timeout` seconds were over: then something false.
        """
        return wait_for(self, predicate, timeout)

    def __iter__(self) -> Iterator[K]:
        return iter(self._snapshot(True, False))

    def __reversed__(self) -> Iterator[K]:
        return reversed(self._snapshot(True, False))

    def keys(self) -> KeysView[K]:
        """The keys, in the order in which they came; going over them sees one moment."""
        return _Keys(self)

    def values(self) -> ValuesView[V]:
        """The values, in the order of the keys; going over them sees one moment."""
        return _Values(self)

    def items(self) -> ItemsView[K, V]:
        """The pairs of key and value; going over them sees one moment."""
        return _Items(self)

    def copy(self) -> dict[K, V]:
        """A plain dict of what is there at one moment."""
        return dict(self._snapshot(True, True))

    def __eq__(self, other: object) -> bool:
        if other is self:
            return True
        if isinstance(other, SharedDict):
            return bool(self.copy() == other.copy())
        return bool(self.copy() == other) if isinstance(other, Mapping) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __or__(self, other: Any) -> dict[Any, Any]:
        return self.copy() | _plain(other) if isinstance(other, Mapping) else NotImplemented

    def __ror__(self, other: Any) -> dict[Any, Any]:
        return _plain(other) | self.copy() if isinstance(other, Mapping) else NotImplemented

    def __ior__(self, other: Any) -> SharedDict[K, V]:
        self._put_all(other, {})
        return self

    def __repr__(self) -> str:
        return f"SharedDict({self.copy()!r})"

    # -- travelling ----------------------------------------------------------------------------------------

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return _received, (type(self), reference_to_region(self._region), self._codec)


# Told, and not inherited: so its metaclass is `type`, and a subclass may have any.
_register: Any = MutableMapping
_register.register(SharedDict)


def _pairs(content: Any) -> Iterable[tuple[Any, Any]]:
    items: Iterable[tuple[Any, Any]] = content.items() if _is_mapping(content) else dict(content).items()
    return items


def _is_mapping(content: object) -> bool:
    return isinstance(content, Mapping)


def _plain(mapping: Any) -> dict[Any, Any]:
    return dict(_pairs(mapping))


def _received(
    kind: type[SharedDict[Any, Any]], reference: RegionReference, codec: str | Codec
) -> SharedDict[Any, Any]:
    return kind.on_region(reference.open(), codec)


def _is_key(argument: Any) -> bool:
    """Whether the argument of `update` is a key, and not pairs."""
    kind: type = type(cast(object, argument))
    if hasattr(argument, "keys"):
        return False
    if issubclass(kind, str | bytes):
        return True
    if not issubclass(kind, tuple | frozenset):
        return not hasattr(cast(object, kind), "__iter__")
    if argument and all(map(_may_be_pair, argument)):
        raise TypeError(
            f"update({argument!r:.80}) may mean pairs or a key: call update(dict(pairs)), or updating(key)"
        )
    return True


def _may_be_pair(part: Any) -> bool:
    return hasattr(part, "__len__") and len(part) == 2
