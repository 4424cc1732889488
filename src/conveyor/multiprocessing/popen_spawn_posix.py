"""`multiprocessing.popen_spawn_posix`: the very same module, under this name too."""

import multiprocessing.popen_spawn_posix
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.popen_spawn_posix import *  # noqa: F403  # pyright: ignore[reportWildcardImportFromLibrary]

sys.modules[__name__] = multiprocessing.popen_spawn_posix
