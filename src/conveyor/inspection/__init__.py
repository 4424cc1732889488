"""Looking at this system and at the named queues on it, and collecting those that nobody uses.

No terminal code in here: see `conveyor.cli`.
"""

# Layer map, highest floor first, as in conveyor/__init__.py.
#
#   examination
#   collector, queues, system
#   named_segment
#   finding, memory_limit, process, size

from .collector import Collected, Outcome, collect
from .examination import examine
from .finding import Finding, Level
from .size import size_text

__all__ = ["Collected", "Finding", "Level", "Outcome", "collect", "examine", "size_text"]
__dir__ = __all__.copy
