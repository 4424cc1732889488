"""Looking at this system and at the named queues on it, and collecting those that nobody uses.

No terminal code in here: see `conveyor.cli`.
"""

# Layer map, highest floor first, as in conveyor/__init__.py.
#
#   examination, exposition, watch
#   snapshot
#   executor_view, pipelines
#   worker_uses
#   pipeline_view
#   failure_view, stage_view, worker_view
#   snapshot_fields
#   collector, queues, survey, system
#   named_segment
#   reached
#   finding, open_files, process, process_view, queue_history, segment_view, size

import typing as _typing

from .._lazy import lazy as _lazily
from .open_files import OpenFiles
from .process_view import ProcessView
from .segment_view import SegmentView, Waiter
from .survey import Survey, survey

if _typing.TYPE_CHECKING:
    from .collector import Collected, Outcome, collect
    from .examination import examine
    from .finding import Finding, Level
    from .queue_history import QueueHistory, QueueRates
    from .reached import Reached
    from .size import size_text
    from .snapshot import Snapshot
    from .watch import Watch

__all__ = [
    "Collected",
    "Finding",
    "Level",
    "OpenFiles",
    "Outcome",
    "ProcessView",
    "QueueHistory",
    "QueueRates",
    "Reached",
    "SegmentView",
    "Snapshot",
    "Survey",
    "Waiter",
    "Watch",
    "collect",
    "examine",
    "size_text",
    "survey",
]
__dir__ = __all__.copy

# Imported when first used: a look at queues has no need of what looks at the system.
_LAZY = {
    "Collected": "collector",
    "Finding": "finding",
    "Level": "finding",
    "Outcome": "collector",
    "QueueHistory": "queue_history",
    "QueueRates": "queue_history",
    "Reached": "reached",
    "Snapshot": "snapshot",
    "Watch": "watch",
    "collect": "collector",
    "examine": "examination",
    "size_text": "size",
}

if not _typing.TYPE_CHECKING:  # a checker that saw it would accept any name
    __getattr__ = _lazily(__name__, _LAZY)
