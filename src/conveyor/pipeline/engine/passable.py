"""passable: an exception that can be raised where results are iterated over."""

from __future__ import annotations

from ...errors import StageError

__all__ = ["passable"]


def passable(error: BaseException) -> BaseException:
    """The exception itself, or what is raised in the place of a StopIteration.

    Whoever iterates takes that for the end; and out of a generator, as a run is one, it comes as a RuntimeError that
    names neither stage nor item.
    """
    if not isinstance(error, StopIteration):
        return error
    text = "StopIteration was raised, which ends iterations: is it a next() without a default?"
    made = StageError(f"{text} ({error})" if str(error) else text)
    for note in getattr(error, "__notes__", ()):
        made.add_note(note)
    made.__cause__ = error.__cause__ or error
    return made
