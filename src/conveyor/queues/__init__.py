"""The queues, under the module name that `multiprocessing` has them in."""

# Layer map, highest floor first, as in conveyor/__init__.py.
#
#   joinable_queue
#   queue
#   _asyncio, pipe, simple_queue
#   data_loader | torch
#   _afterwards, _aio_wait, awaited_lease, dead_letter, _direction, _ends, leases, _options, statistics

from ..errors import Empty, Full
from .joinable_queue import JoinableQueue
from .queue import Queue
from .simple_queue import SimpleQueue

__all__ = ["Empty", "Full", "JoinableQueue", "Queue", "SimpleQueue"]
__dir__ = __all__.copy
