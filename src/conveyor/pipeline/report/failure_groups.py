"""FailureGroups: of the failures of a run the last of each kind, and how many there were."""

from __future__ import annotations

import reprlib
import time
from dataclasses import dataclass
from typing import Any

from ..base.failure import Failure
from ..base.format import short

__all__ = ["FailureGroups"]

_MOST_GROUPS = 32
_MOST_TEXT = 1000  # characters of a message
_MOST_TRACEBACK = 8000  # the end of it tells most
_MOST_ITEM = 200


class _Repr(reprlib.Repr):
    """Looks at no more of a large item than is shown of it."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlist = self.maxtuple = self.maxdict = self.maxset = self.maxfrozenset = self.maxdeque = 20
        self.maxstring = self.maxother = self.maxlong = _MOST_ITEM

    def repr_bytes(self, given: bytes, _level: int) -> str:
        return repr(given[:_MOST_ITEM])

    def repr_bytearray(self, given: bytearray, _level: int) -> str:
        return repr(given[:_MOST_ITEM])


_repr = _Repr().repr


@dataclass(slots=True)
class _Group:
    failures: int
    retries: int
    last: dict[str, Any]
    item: Any  # until somebody wants to see it
    has_item: bool


class FailureGroups:
    """Failures by stage and by the exception's class; of so many, those that were seen last."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str], _Group] = {}
        self.left_out = 0
        """Failures, and attempts that failed, of groups that are not kept."""

    def note(self, failure: Failure, *, given_up: bool) -> None:
        """An item has failed.

        Args:
            failure: why.
            given_up: else it will be tried again.
        """
        key = failure.stage, failure.kind
        group = self._groups.pop(key, None)
        if group is None:
            group = _Group(0, 0, {}, None, False)
            if len(self._groups) >= _MOST_GROUPS:
                oldest = self._groups.pop(next(iter(self._groups)))
                self.left_out += oldest.failures + oldest.retries
        self._groups[key] = group  # behind all others
        group.failures += given_up
        group.retries += not given_up
        group.last = {
            "number": failure.number,
            "attempts": failure.attempts,
            "message": failure.message[:_MOST_TEXT],
            "where": failure.where[:_MOST_TEXT],
            "traceback": failure.traceback[-_MOST_TRACEBACK:],
            "pid": failure.pid,
            "time": time.time(),
        }
        group.item, group.has_item = failure.item, True

    def as_list(self) -> list[dict[str, Any]]:
        """The groups in JSON's types, the latest first."""
        found: list[dict[str, Any]] = []
        for (stage, kind), group in reversed(self._groups.items()):
            if group.has_item:
                group.last["item"] = _text_of(group.item)
                group.item, group.has_item = None, False
            found.append(
                {
                    "stage": stage,
                    "kind": kind,
                    "count": group.failures,
                    "retries": group.retries,
                    **group.last,
                }
            )
        return found


def _text_of(item: Any) -> str:
    try:
        text = _repr(item)
    except Exception:
        text = f"a {type(item).__name__} whose repr raises"
    return short(text, _MOST_ITEM, quoted=False)
