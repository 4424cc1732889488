"""SharedList: a list that all processes see, without a server process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, MutableSequence
from typing import TYPE_CHECKING, Any, ClassVar, SupportsIndex, TypeVar

from .._memory.labels import checked_label
from .._memory.references import RegionReference, forget_received, reference_to_region
from .._native import ListSequence, Region
from .._public import public
from ..queues._options import checked_codec
from ._store import checked_bound, open_region, wait_for

if TYPE_CHECKING:
    from .._memory.devices import Cuda
    from ..codecs import Codec

__all__ = ["SharedList"]

T = TypeVar("T")
_TRIES = 100


@public
class SharedList(ListSequence[T]):
    """A list in shared memory: what `multiprocessing.Manager().list()` is for, without a server.

    It has the methods of a plain list. Any number of processes and threads may use it at once; the handle passes
    through queues, pipes, `Pool` arguments and every start method. Each call is done whole or not at all, even if the
    process is killed in the middle: `extend`, slices and `sort` too. An item that is read is a copy: to change one,
    assign it. Both ends are fast; in the middle of a long list, inserting and removing moves what is behind.

    Iteration goes over a copy of one moment.

    Args:
        content: items to begin with; where the name is there already, they are left out.
        name, create, codec, max_bytes, label, cuda: as for `SharedDict`; so are the errors.
    """

    _KIND: ClassVar[str] = "list"

    def __init__(
        self,
        content: Iterable[T] = (),
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
            self.extend(content)

    def _attach(self, region: Region, codec: str | Codec, bound: int = 0) -> None:
        super().__init__(region, codec, bound)
        self._codec = codec

    @classmethod
    def on_region(cls, region: Region, codec: str | Codec) -> SharedList[Any]:
        """One on shared memory that exists already; for unpickling."""
        self: SharedList[Any] = cls.__new__(cls)
        self._attach(region, codec)
        return self

    @property
    def name(self) -> str | None:
        """The name, or None."""
        return self._region.name or None

    @property
    def nbytes(self) -> int:
        """Bytes that the items and their table take now."""
        return self._figures()[2]

    # -- changing ------------------------------------------------------------------------------------------

    def extend(self, values: Iterable[T]) -> None:
        """Append all of them, in one step: nobody sees some of them, and no others come between."""
        self._extend(list(values))

    def __iadd__(self, values: Iterable[T]) -> SharedList[T]:  # type: ignore[misc]  # as of list, any iterable
        self.extend(values)
        return self

    def __imul__(self, times: SupportsIndex) -> SharedList[T]:
        number = times.__index__()
        if number <= 0:
            self.clear()
        else:
            self._extend(self.copy() * (number - 1))
        return self

    def remove(self, value: T) -> None:
        """Remove the first item that is equal to `value`.

        Raises:
            ValueError: there is none.
        """
        while True:
            items, version = self._snapshot()
            if self._remove_at(items.index(value), version):
                return

    def sort(self, *, key: Callable[[T], Any] | None = None, reverse: bool = False) -> None:
        """Sort, in one step; stable. If others change the list while keys are compared, it is done again.

        Raises:
            ValueError: they changed it each time.
        """
        for _ in range(_TRIES):
            items, version = self._snapshot()
            ranks: list[Any] = items if key is None else [key(item) for item in items]
            if self._reorder(sorted(range(len(items)), key=ranks.__getitem__, reverse=reverse), version):
                return
        raise ValueError(f"list modified during sort, by others, {_TRIES} times")

    # -- looking -------------------------------------------------------------------------------------------

    def wait_for(self, predicate: Callable[[SharedList[T]], Any], timeout: float | None = None) -> Any:
        """What `predicate(self)` gives, as soon as that is true; asked at once, and after each change.

        Returns:
            what it gave last, also when `timeout` seconds were over: then something false.
        """
        return wait_for(self, predicate, timeout)

    def __iter__(self) -> Iterator[T]:
        return iter(self._snapshot()[0])

    def __reversed__(self) -> Iterator[T]:
        return reversed(self._snapshot()[0])

    def __contains__(self, value: object) -> bool:
        return value in self._snapshot()[0]

    def index(self, value: Any, start: int = 0, stop: int = 2**63 - 1, /) -> int:
        """The index of the first item equal to `value`, between `start` and `stop`.

        Raises:
            ValueError: there is none.
        """
        return self._snapshot()[0].index(value, start, stop)

    def count(self, value: Any) -> int:
        """How many items are equal to `value`."""
        return self._snapshot()[0].count(value)

    def copy(self) -> list[T]:
        """A plain list of what is there at one moment."""
        return self._snapshot()[0]

    def __eq__(self, other: object) -> bool:
        if other is self:
            return True
        if isinstance(other, SharedList):
            return bool(self.copy() == other.copy())
        return bool(self.copy() == other) if isinstance(other, list) else NotImplemented

    def __lt__(self, other: Any) -> bool:
        return self.copy() < _plain(other) if _is_list(other) else NotImplemented

    def __le__(self, other: Any) -> bool:
        return self.copy() <= _plain(other) if _is_list(other) else NotImplemented

    def __gt__(self, other: Any) -> bool:
        return self.copy() > _plain(other) if _is_list(other) else NotImplemented

    def __ge__(self, other: Any) -> bool:
        return self.copy() >= _plain(other) if _is_list(other) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __add__(self, other: Any) -> list[Any]:
        return self.copy() + _plain(other) if _is_list(other) else NotImplemented

    def __radd__(self, other: list[Any]) -> list[Any]:
        return other + self.copy()

    def __mul__(self, times: SupportsIndex) -> list[T]:
        return self.copy() * times

    __rmul__ = __mul__

    def __repr__(self) -> str:
        return f"SharedList({self.copy()!r})"

    # -- travelling ----------------------------------------------------------------------------------------

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return _received, (type(self), reference_to_region(self._region), self._codec)


# Told, and not inherited: so its metaclass is `type`, and a subclass may have any.
_register: Any = MutableSequence
_register.register(SharedList)


def _is_list(other: object) -> bool:
    return isinstance(other, list | SharedList)


def _plain(other: Any) -> list[Any]:
    plain: list[Any] = other.copy()
    return plain


def _received(kind: type[SharedList[Any]], reference: RegionReference, codec: str | Codec) -> SharedList[Any]:
    return kind.on_region(reference.open(), codec)
