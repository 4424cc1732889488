"""`multiprocessing.spawn`: the very same module, under this name too."""

import multiprocessing.spawn
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.spawn import *  # noqa: F403  # pyright: ignore[reportWildcardImportFromLibrary]

sys.modules[__name__] = multiprocessing.spawn
