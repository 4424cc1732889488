"""`multiprocessing.synchronize`: the very same module, under this name too."""

import multiprocessing.synchronize
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.synchronize import *  # noqa: F403  # pyright: ignore[reportWildcardImportFromLibrary]

sys.modules[__name__] = multiprocessing.synchronize
