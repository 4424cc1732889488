"""`multiprocessing.util`: the very same module, under this name too."""

import multiprocessing.util
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.util import *  # noqa: F403  # pyright: ignore[reportWildcardImportFromLibrary]

sys.modules[__name__] = multiprocessing.util
