"""`multiprocessing.process`: the very same module, under this name too."""

import multiprocessing.process
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.process import *  # noqa: F403  # pyright: ignore[reportWildcardImportFromLibrary]

sys.modules[__name__] = multiprocessing.process
