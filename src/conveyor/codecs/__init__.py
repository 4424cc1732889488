"""What `Queue(codec=...)` accepts: one file for each codec, imported when it is first asked for.

`auto` and `pickle` are the core's own and have no file here. What each codec keeps of an item, and
what it changes, stands in docs/codecs.md and at its class.
"""

from ._resolve import resolve
from .codec import Codec

__all__ = ["Codec", "resolve"]
__dir__ = __all__.copy
