"""need: a package that is an extra, or a sentence that says what to install."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["need"]


def need(module: str, extra: str, what: str) -> Any:
    """Import a package that need not be there.

    Args:
        module: its name.
        extra: of ours, that brings it.
        what: what needs it, for the text of the error.

    Raises:
        ImportError: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ImportError(
            f"{what} needs the package {package}: pip install 'conveyor[{extra}]' ({error})", name=module
        ) from error
