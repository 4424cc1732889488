"""`multiprocessing.shared_memory`: the very same module, under this name too."""

import multiprocessing.shared_memory
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.shared_memory import *  # noqa: F403  # pyright: ignore[reportWildcardImportFromLibrary]

sys.modules[__name__] = multiprocessing.shared_memory
