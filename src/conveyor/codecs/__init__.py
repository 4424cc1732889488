"""What `Queue(codec=...)` accepts: one file for each codec, imported when it is first asked for.

`auto` and `pickle` are the core's own and have no file here. What each codec keeps of an item, and
what it changes, stands in docs/codecs.md and at its class.
"""

# Layer map, highest floor first, as in conveyor/__init__.py.
#
#   envelope
#   formats
#   arrow_codec, json_codec, msgpack_codec, plain_codec, raw_codec
#   _refusal, _shipped
#   _resolve
#   codec, foreign_values, signature

from ._resolve import resolve
from .codec import Codec

__all__ = ["Codec", "resolve"]
__dir__ = __all__.copy
