"""How the handles of shared state travel: as a region, and where in it their cell lies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

# Before it is needed: a process that has dropped its privileges may be kept from its modules.
from .._memory import descriptor_server as descriptor_server
from .._memory.assignable import assignable
from .._memory.references import RegionReference, reference_to_region

if TYPE_CHECKING:
    from .._native import Region

__all__ = ["CellHandle"]


class CellHandle:
    """A mixin for what stands on a cell: it goes through pickles, to any process, by any way.

    The next class in line has `__init__(region, offset)`, `_region` and `_offset`.
    """

    __slots__ = ()

    if TYPE_CHECKING:

        @property
        def _region(self) -> Region: ...
        @property
        def _offset(self) -> int: ...

    def __getstate__(self) -> tuple[Any, ...]:
        return (reference_to_region(self._region), self._offset)

    def __setstate__(self, state: tuple[RegionReference, int]) -> None:
        reference, offset = state
        super().__init__(reference.open(), offset)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]

    @assignable
    def _semlock(self) -> Any:
        # Where the standard library's queues look into the semaphores that a context of ours made for them.
        return self

    def __copy__(self) -> Any:
        # A copy would stand for the very same thing.
        return self

    def __deepcopy__(self, memo: Any) -> Any:
        return self
