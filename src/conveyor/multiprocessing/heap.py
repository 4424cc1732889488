"""`multiprocessing.heap`: the very same module, under this name too."""

import multiprocessing.heap
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.heap import *  # noqa: F403  # pyright: ignore[reportWildcardImportFromLibrary]

sys.modules[__name__] = multiprocessing.heap
