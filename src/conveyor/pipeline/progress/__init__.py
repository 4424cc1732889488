"""What a run shows while it lasts."""

# Layer map, highest floor first, as in conveyor/__init__.py.
#
#   make_display
#   lines
#   callback, table
#   display, rates
#   dashboard, messages, notebook, progress

import typing as _typing

from ..._lazy import lazy as _lazily

if not _typing.TYPE_CHECKING:  # where these classes were before the room: pickles may name them so
    __getattr__ = _lazily(__name__, {"Progress": "progress", "StageProgress": "progress"})
