"""`multiprocessing.managers`: the very same module, under this name too."""

import multiprocessing.managers
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.managers import *  # noqa: F403  # pyright: ignore[reportWildcardImportFromLibrary]

sys.modules[__name__] = multiprocessing.managers
