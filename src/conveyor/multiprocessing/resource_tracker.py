"""`multiprocessing.resource_tracker`: the very same module, under this name too."""

import multiprocessing.resource_tracker
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.resource_tracker import *  # noqa: F403  # pyright: ignore[reportWildcardImportFromLibrary]

sys.modules[__name__] = multiprocessing.resource_tracker
