"""The loop that drives a run, and all its decisions."""

# Layer map, highest floor first, as in conveyor/__init__.py.
#
#   engine
#   fast_path
#   autoscale, failure_policy, pacing, passable, shutdown

import typing as _typing

from ..._lazy import lazy as _lazily

if not _typing.TYPE_CHECKING:  # where these classes were before the room: pickles may name them so
    __getattr__ = _lazily(__name__, {"Engine": "engine"})
