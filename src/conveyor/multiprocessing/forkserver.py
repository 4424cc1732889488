"""`multiprocessing.forkserver`: the very same module, under this name too."""

import multiprocessing.forkserver
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.forkserver import *  # noqa: F403  # pyright: ignore[reportWildcardImportFromLibrary]

sys.modules[__name__] = multiprocessing.forkserver
