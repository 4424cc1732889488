"""`multiprocessing.reduction`: the very same module, under this name too."""

import multiprocessing.reduction
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.reduction import *  # noqa: F403  # pyright: ignore[reportWildcardImportFromLibrary]

sys.modules[__name__] = multiprocessing.reduction
