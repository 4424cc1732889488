"""Looking at this system and at the named queues on it, and collecting those that nobody uses.

No terminal code in here: see `conveyor.cli`.
"""

# Layer map, highest floor first, as in conveyor/__init__.py.
#
#   examination
#   collector, queues, survey, system
#   named_segment
#   finding, memory_limit, open_files, process, process_view, queue_history, segment_view, size

from .collector import Collected, Outcome, collect
from .examination import examine
from .finding import Finding, Level
from .open_files import OpenFiles
from .process_view import ProcessView
from .queue_history import QueueHistory, QueueRates
from .segment_view import SegmentView, Waiter
from .size import size_text
from .survey import Survey, survey

__all__ = [
    "Collected",
    "Finding",
    "Level",
    "OpenFiles",
    "Outcome",
    "ProcessView",
    "QueueHistory",
    "QueueRates",
    "SegmentView",
    "Survey",
    "Waiter",
    "collect",
    "examine",
    "size_text",
    "survey",
]
__dir__ = __all__.copy
