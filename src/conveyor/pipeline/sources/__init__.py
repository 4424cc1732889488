"""Where items come from."""

# Layer map, highest floor first, as in conveyor/__init__.py.
#
#   resolve
#   asynchronous, leased, threaded
#   csv_rows, json_lines, lines, parquet
#   file_items
#   buffered, fingerprint, keyed, source

import typing as _typing

from ..._lazy import lazy as _lazily

if not _typing.TYPE_CHECKING:  # where these classes were before the room: pickles may name them so
    __getattr__ = _lazily(__name__, {"IterableSource": "source", "LineSource": "source", "Source": "source"})
