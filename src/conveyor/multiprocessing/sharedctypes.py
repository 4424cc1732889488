"""`multiprocessing.sharedctypes`: the very same module, under this name too."""

import multiprocessing.sharedctypes
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import *  # noqa: F403  # pyright: ignore[reportWildcardImportFromLibrary]

sys.modules[__name__] = multiprocessing.sharedctypes
