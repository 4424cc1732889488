"""What a run did, in figures, words and pictures."""

# Layer map, highest floor first, as in conveyor/__init__.py.
#
#   collect
#   report
#   html, timeline
#   bottleneck, charts, text
#   figures, tally
#   failure_groups

import typing as _typing

from ..._lazy import lazy as _lazily

if not _typing.TYPE_CHECKING:  # where these classes were before the room: pickles may name them so
    __getattr__ = _lazily(__name__, {"Report": "report", "SlowItem": "figures", "StageReport": "figures"})
