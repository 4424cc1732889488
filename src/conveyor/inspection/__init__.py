"""Looking at this system and at the named queues on it, and collecting those that nobody uses.

No terminal code in here: see `conveyor.cli`.
"""

from .collector import Collected, Outcome, collect
from .examination import examine
from .finding import Finding, Level
from .size import size_text

__all__ = ["Collected", "Finding", "Level", "Outcome", "collect", "examine", "size_text"]
__dir__ = __all__.copy
