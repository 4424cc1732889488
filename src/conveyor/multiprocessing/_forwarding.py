"""forward: a module with some names of its own, which in all else is a module of the standard library.

Nothing is copied. What somebody patches there (PyInstaller does, for frozen programs) is seen here, and what is
set here, other than a name of our own, is set there.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

__all__ = ["forward"]


class _Forwarding(ModuleType):
    _real: ModuleType
    _submodules: frozenset[str]
    _known: frozenset[str]
    """What the other has had from the beginning: it stays the other's name while it is deleted there."""
    _before: dict[str, Any]
    """What the other had, before it was set here."""

    def __getattr__(self, name: str) -> Any:
        # The standard library has a submodule here once anything has imported it. Here it comes when it
        # is asked for, so that a program does not depend on what others import.
        if name in self._submodules:
            return import_module(f".{name}", self.__name__)
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(self._real, name)

    def _is_own(self, name: str) -> bool:
        if name in self.__dict__ or name in self._submodules or name.startswith("__"):
            return True
        return name not in self._known and not hasattr(self._real, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if self._is_own(name):
            super().__setattr__(name, value)
        else:
            if hasattr(self._real, name):
                self._before.setdefault(name, getattr(self._real, name))
            setattr(self._real, name, value)

    def __delattr__(self, name: str) -> None:
        if self._is_own(name):
            super().__delattr__(name)
        elif name in self._before:
            # As with a name of a class that was set on its instance. So `unittest.mock` takes its patches back.
            setattr(self._real, name, self._before.pop(name))
        else:
            delattr(self._real, name)

    def __dir__(self) -> list[str]:
        return sorted({*self.__dict__, *self._submodules, *dir(self._real)})


def forward(name: str, to: ModuleType, submodules: frozenset[str] = frozenset()) -> None:
    """Make the module `name`, which is being imported, forward to another what it has not itself.

    Its public names are those of `__all__` from now on: what it imported for its own use goes under a name with `_`.

    Args:
        name: its `__name__`.
        to: the module that it stands for.
        submodules: of its own, imported when they are asked for.
    """
    module = sys.modules[name]
    module.__dict__.pop("annotations", None)  # of `from __future__ import annotations`
    module.__dict__.update(_real=to, _submodules=submodules, _known=frozenset(vars(to)), _before={})
    module.__class__ = _Forwarding
