"""Messages that were published together, until the server has them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

__all__ = ["Publishing"]


class Publishing:
    """Messages with consecutive numbers, whose confirmations are awaited.

    Args:
        first: the number of the first.
        ids: of the messages, in order.
        done: called once with how many of the first the server has and whether the next was put nowhere, or with the
            error that lets one know no more.
    """

    __slots__ = ("_bad", "_done", "_ids", "_low", "_open", "first", "last")

    def __init__(
        self,
        first: int,
        ids: Sequence[str],
        done: Callable[[tuple[int, bool] | None, Exception | None], object],
    ) -> None:
        self.first = first
        self.last = first + len(ids) - 1
        self._ids = ids
        self._low = first  # all before were confirmed
        self._open = set(range(first, self.last + 1))
        self._bad: dict[int, bool] = {}  # by number: whether it was given back
        self._done = done

    def confirm(self, number: int, multiple: bool, good: bool, returned: set[str]) -> bool:
        """The server has, or has not, that message or all up to it; whether all are accounted for.

        Args:
            returned: ids of messages that were put nowhere, of which those that are ours are taken out.
        """
        if multiple:
            told = [each for each in range(self._low, min(number, self.last) + 1) if each in self._open]
            self._low = max(self._low, number + 1)
        else:
            told = [number] if number in self._open else []
        self._open.difference_update(told)
        if not good:
            self._bad.update(dict.fromkeys(told, False))
        if returned:
            for each in told:
                name = self._ids[each - self.first]
                if name in returned:
                    returned.discard(name)
                    self._bad[each] = True
        if self._open:
            return False
        if not self._bad:
            self._done((len(self._ids), False), None)
        else:
            worst = min(self._bad)
            self._done((worst - self.first, self._bad[worst]), None)
        return True

    def fail(self, error: Exception) -> None:
        """The connection is gone."""
        self._done(None, error)
