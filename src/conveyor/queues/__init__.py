"""The queues, under the module name that `multiprocessing` has them in."""

from ..errors import Empty, Full
from .joinable_queue import JoinableQueue
from .queue import Queue
from .simple_queue import SimpleQueue

__all__ = ["Empty", "Full", "JoinableQueue", "Queue", "SimpleQueue"]
__dir__ = __all__.copy
