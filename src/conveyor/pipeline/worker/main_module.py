"""MainModule: the program's main module, in a worker process that has to import it anew."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, TypeVar

from ...errors import PipelineError
from .failing import place_of
from .stranded import Stranded

if TYPE_CHECKING:
    from .sealed import Sealed

__all__ = ["MainModule", "being_spawned", "refuse_while_importing_main"]

T = TypeVar("T")

_PATH = "init_main_from_path"
_GUARD = 'if __name__ == "__main__":'
_KEYS = ("init_main_from_name", _PATH)


class _Unguarded(PipelineError):
    """A run was begun by a main module that is only being imported."""


def being_spawned() -> bool:
    """Whether this process was started by spawn or a fork server, and is importing the program's main module."""
    process: Any = sys.modules.get("multiprocessing.process")  # not there: nobody can have spawned this one
    return process is not None and getattr(process.current_process(), "_inheriting", None) is not None


def refuse_while_importing_main() -> None:
    """To be called before processes are started by spawn or a fork server.

    Raises:
        PipelineError: this process is such a one itself, and imports the program's main module.
    """
    if being_spawned():
        raise _Unguarded(
            "a run was begun while a new process imports the program's main module; "
            f"put what runs the pipeline under {_GUARD}"
        )


class MainModule:
    """How the main module is to be had, and what to say when that fails.

    Args:
        data: what `multiprocessing.spawn` tells a new process; all about the main module is taken out of it.
        method: how processes are started.
    """

    def __init__(self, data: dict[str, Any], method: str) -> None:
        self._how: dict[str, str] = {key: data.pop(key) for key in _KEYS if key in data}
        self._method = method

    def load(self) -> None:
        """Import it, as `multiprocessing` does.

        Raises:
            Stranded: it cannot be imported.
        """
        from multiprocessing import process, spawn

        path = self._how.get(_PATH)
        if path is not None and not os.path.exists(path):  # noqa: PTH110 - cheap at start
            return  # a program from standard input; who needs something of it will be told
        current: Any = process.current_process()
        current._inheriting = True  # keeps it from starting processes of its own
        try:
            spawn.prepare(self._how)
        except BaseException as error:
            raise self._not_imported(error) from (None if _is_unguarded(error) else error)
        finally:
            del current._inheriting

    def open(self, sealed: Sealed[T]) -> T:
        """What is in there, of this or other modules.

        Raises:
            Stranded: it cannot be unpickled.
        """
        try:
            return sealed.open()
        except BaseException as error:
            raise Stranded(
                f"it cannot be had in a worker process that is started by {self._method}, which imports it: "
                f"{type(error).__name__}: {error}; define it at the top of a module, and not under "
                f'{_GUARD} or in a notebook, or use threads= or start_method="fork"'
            ) from error

    def _not_imported(self, error: BaseException) -> Stranded:
        name = self._how.get(_PATH) or self._how.get(_KEYS[0], "")
        worker = (
            f"a worker process that is started by {self._method} imports the program's main module, {name}"
        )
        if _is_unguarded(error):
            return Stranded(
                f"{worker}, and that starts processes again; put what runs the pipeline under {_GUARD}"
            )
        return Stranded(
            f"{worker}, which raised {type(error).__name__}: {error} ({place_of(error)}); "
            f"what only the program itself is to do belongs under {_GUARD}"
        )


def _is_unguarded(error: BaseException | None) -> bool:
    """Whether the main module was about to start processes, when it was only imported."""
    seen = 0
    while error is not None and seen < 10:  # who catches it and raises another has it as a context
        if isinstance(error, _Unguarded) or "bootstrapping phase" in str(error):
            return True
        error = error.__cause__ or error.__context__
        seen += 1
    return False
