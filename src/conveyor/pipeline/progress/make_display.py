"""make_display: the display that a user means by `progress=`."""

from __future__ import annotations

from typing import Any

from .display import Display

__all__ = ["make_display"]


def make_display(progress: Any, name: str, *, sums_up: bool = True, quiet: bool = False) -> Display | None:
    """The display that a user means.

    Args:
        progress: as for `Pipeline.run`, or a display.
        name: of the pipeline.
        sums_up: with True: it says at the end what was done.
        quiet: failures and deaths are told even if `progress` is False.

    Raises:
        TypeError: it is nothing that can be told.
    """
    if isinstance(progress, Display):
        return progress
    if progress is None or progress is False:
        if not quiet:
            return None

        from .callback import QuietDisplay

        return QuietDisplay(name)
    if progress is True:
        from .lines import LineDisplay

        try:
            from rich.console import Console
        except ImportError:  # the extra `cli` is not installed
            return LineDisplay(name, sums_up)

        from .table import TableDisplay

        console = Console(stderr=True)
        if (console.is_terminal and not console.is_dumb_terminal) or console.is_jupyter:
            return TableDisplay(name, console, sums_up)
        return LineDisplay(name, sums_up)

    from .callback import BarDisplay, FunctionDisplay

    if isinstance(progress, type) and callable(getattr(progress, "update", None)):
        bar = progress.__name__
        raise TypeError(
            f"progress is the class {bar}; give a bar, which {bar}() makes, as in progress={bar}(total=n)"
        )
    if callable(getattr(progress, "update", None)):
        return BarDisplay(progress)
    if callable(progress):
        return FunctionDisplay(progress)
    raise TypeError(
        f"progress is {progress!r:.60}; it must be True, False, a function, or an object with update() as of tqdm"
    )
