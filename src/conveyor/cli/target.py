"""MODULE:FUNCTION on the command line: finds and imports it."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

__all__ = ["TargetError", "last_place", "load_object", "load_target"]


class TargetError(Exception):
    """What the user named is not a function that can be called with an item; the text says why."""


def load_target(target: str) -> Callable[[Any], Any]:
    """The function that `target` names.

    Args:
        target: `package.module:function`, `folder/file.py:function`, or with dots behind the colon,
            as in `module:Class.method`. The current folder and the file's folder can be imported from.

    Raises:
        TargetError: it is malformed, cannot be imported, is not there, or cannot be called.
    """
    found = load_object(target, "function", "MODULE:FUNCTION, as in json:loads or tools.py:strip")
    if not callable(found):
        raise TargetError(f"{target} is a {type(found).__name__}, {found!r:.60}; it must be callable")
    if inspect.iscoroutinefunction(found):
        raise TargetError(f"{target} is an async function; a plain one is needed, which may call asyncio.run")
    if inspect.isgeneratorfunction(found):
        raise TargetError(
            f"{target} is a generator; a function that returns one value for each item is needed"
        )
    return found  # type: ignore[no-any-return]


def load_object(target: str, kind: str, form: str) -> Any:
    """Whatever `target` names.

    Args:
        target: as for `load_target`.
        kind: what it should be, for messages.
        form: how it is to be written, for messages.

    Raises:
        TargetError: it is malformed, cannot be imported, or is not there.
    """
    module_name, colon, path = target.rpartition(":")
    if not colon or not module_name or not path:
        raise TargetError(f"{target!r} names no {kind}; it must be {form}")
    found: Any = _import(module_name)
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise TargetError(f"{module_name} has no {part!r}{_alternatives(found, part)}") from None
    return found


def _import(name: str) -> ModuleType:
    path = Path(name)
    is_file = path.suffix == ".py" or len(path.parts) > 1
    if is_file and not path.is_file():
        raise TargetError(f"there is no file {name}; the folder is {Path.cwd()}")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return _import_file(path) if is_file else importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            hint = f"; is it the file {name}.py of another folder?" if "." not in name else ""
            raise TargetError(
                f"there is no module {error.name!r} in {here} or where Python looks{hint}"
            ) from None
        raise TargetError(f"{name} cannot be imported: {last_place(error)}") from error
    except TargetError:
        raise  # it says what is wrong as it is
    except (Exception, SystemExit) as error:
        raise TargetError(f"{name} cannot be imported: {last_place(error)}") from error


def _import_file(path: Path) -> ModuleType:
    folder = str(path.parent.resolve())
    if folder not in sys.path:
        sys.path.insert(0, folder)  # as if it were run as a script
    # Under its own name, so that what it defines can be pickled, unless that name is taken.
    name = path.stem if path.stem not in sys.modules else f"__conveyor_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise TargetError(f"{path} is no Python file; give a .py file, or the name of a module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def last_place(error: BaseException) -> str:
    """An exception in words, and the line of the user's that raised it."""
    import traceback

    kind = type(error).__name__
    text = f"{kind}: {error}" if str(error) else kind
    if isinstance(error, SyntaxError):
        return text
    frames = traceback.extract_tb(error.__traceback__)
    package = str(Path(__file__).parent.parent)
    outside = [
        frame
        for frame in frames
        if not frame.filename.startswith(package) and "importlib" not in frame.filename
    ]
    return f"{text} ({outside[-1].filename}:{outside[-1].lineno})" if outside else text


def _alternatives(owner: Any, wanted: str) -> str:
    import difflib

    names = [name for name in dir(owner) if not name.startswith("_")]
    close = difflib.get_close_matches(wanted, names, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
