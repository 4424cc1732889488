"""`multiprocessing.resource_sharer`: the very same module, under this name too."""

import multiprocessing.resource_sharer
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.resource_sharer import *  # noqa: F403  # pyright: ignore[reportWildcardImportFromLibrary]

sys.modules[__name__] = multiprocessing.resource_sharer
