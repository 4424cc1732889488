"""`multiprocessing.popen_fork`: the very same module, under this name too."""

import multiprocessing.popen_fork
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.popen_fork import *  # noqa: F403  # pyright: ignore[reportWildcardImportFromLibrary]

sys.modules[__name__] = multiprocessing.popen_fork
