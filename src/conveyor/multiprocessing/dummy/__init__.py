"""`multiprocessing.dummy`: the very same package, under this name too."""

import multiprocessing.dummy.connection
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.dummy import *  # noqa: F403  # pyright: ignore[reportWildcardImportFromLibrary]

# Its one submodule too: looked up through the package above, it would be loaded a second time.
sys.modules[f"{__name__}.connection"] = multiprocessing.dummy.connection
sys.modules[__name__] = multiprocessing.dummy
