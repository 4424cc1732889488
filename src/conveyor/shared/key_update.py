"""KeyUpdate: the block in which one key of a shared dict is this thread's alone."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .._native import DictTable, HeldClaim, enter_update, leave_update

__all__ = ["KeyUpdate"]

V = TypeVar("V")
_NOT_READ: Any = object()


class KeyUpdate(Generic[V]):
    """What `with shared_dict.update(key) as v` gives: the key's value, and the sole right to change it.

    Nobody else can write or remove the key before the block is left; all can read it, and see the old value. What
    `v.value` is then takes its place, in one step. By an exception, or the death of the process, nothing is changed.
    """

    __slots__ = ("_before", "_claim", "_key", "_removed", "_table", "_timeout", "_value")

    _no_value = _NOT_READ

    def __init__(self, table: DictTable[Any, V], key: Any, timeout: float | None = None) -> None:
        self._table = table
        self._key = key
        self._timeout = timeout
        self._claim = HeldClaim(table, key)
        self._before: bytes | None = None
        self._value: V = _NOT_READ
        self._removed = False

    @property
    def key(self) -> Any:
        """The key."""
        return self._key

    @property
    def exists(self) -> bool:
        """Whether the key has a value now."""
        self._check()
        return self._value is not _NOT_READ or (self._before is not None and not self._removed)

    @property
    def value(self) -> V:
        """The value, read once and then this block's own: what you change in it counts. Assign, or `del` it.

        Raises (on reading):
            KeyError: there is none; see `get`.
        """
        self._check()
        if self._value is _NOT_READ:
            if self._before is None or self._removed:
                raise KeyError(self._key)
            self._value = self._table._decode(self._before)
        return self._value

    @value.setter
    def value(self, value: V) -> None:
        self._check()
        self._value = value
        self._removed = False

    @value.deleter
    def value(self) -> None:
        if not self.exists:
            raise KeyError(self._key)
        self._value = _NOT_READ
        self._removed = True

    def get(self, default: Any = None) -> Any:
        """The value; `default` if there is none, which is then not stored."""
        return self.value if self.exists else default

    def _check(self) -> None:
        if not self._claim.is_held:
            raise RuntimeError("the value belongs to the block: with shared_dict.update(key) as v: ...")

    if TYPE_CHECKING:

        def __enter__(self) -> KeyUpdate[V]: ...
        def __exit__(
            self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
        ) -> None: ...

    else:
        __enter__ = enter_update
        __exit__ = leave_update
