"""conveyor: producers and consumers in different processes, joined by queues in shared memory.

Change one import and a program that uses `multiprocessing`'s queues becomes many times faster and
survives the death of any of its processes:

    from conveyor import Queue                              # or
    import conveyor.multiprocessing as multiprocessing      # the whole module
"""

# Layer map, highest floor first. A module imports only what stands on floors under its own; names on
# one line are strangers to each other; a folder's files may import each other. After the bar: the
# packages outside the standard library that the floor may import. tests/unit/test_layers.py reads it.
#
#   __main__
#   _pyinstaller/ | PyInstaller
#   cli/ | cyclopts rich
#   bench/ | cyclopts rich matplotlib numpy zmq faster_fifo dejaq py_sharedmemory interprocess
#   inspection/ | rich
#   __init__
#   pipeline/ | rich IPython
#   multiprocessing/
#   _install
#   shared_dict, shared_list
#   _regions
#   transports/ | pika confluent_kafka redis nats numpy typing_extensions
#   workers/
#   queues
#   joinable_queue, pipe
#   topic
#   queue, simple_queue, subscription | numpy
#   condition, shared_array, shared_struct, shared_value | numpy
#   barrier, event, locks, semaphores
#   _handles, _number_types, _waiting
#   _afterwards, _awaitable, _direction, _ends, _events, _keys, _producing, _references, key_update, leases
#   _coroutines
#   _normal_end, _passing, _queue_options, _waiter
#   codecs/ | msgspec pyarrow numpy
#   _native
#   _arrays, _reducers | numpy
#   protocols | numpy
#   _assignable, _descriptor_server, _lazy, _names, dead_letter, errors, statistics, topic_statistics
#
# Under _native lies core/, in C++, which knows no Python.
import sys as _sys
import typing as _typing

if not _sys.platform.startswith("linux"):
    raise ImportError(
        f"conveyor needs Linux (memfd and futex), and this is {_sys.platform}; "
        "use the standard library's multiprocessing.Queue here"
    )

from ._lazy import lazy as _lazily
from ._normal_end import watch_os_exit as _watch_os_exit
from .errors import (
    BadMessage,
    BrokerUnreachable,
    CodecMismatch,
    ConveyorError,
    CorruptSegment,
    Empty,
    Full,
    ItemTimeout,
    ItemTooLarge,
    Lagged,
    LeaseLost,
    NotSupported,
    OutOfMemory,
    PipelineError,
    ProducerLost,
    SegmentGone,
    ShutDown,
    StageError,
    TooManyFailures,
    TooManyLeases,
    VersionMismatch,
    WorkerLost,
    WorkersLost,
    WorkerTimeout,
    WrongKey,
    WrongKind,
)
from .joinable_queue import JoinableQueue
from .leases import Lease, Leases
from .queue import Queue
from .simple_queue import SimpleQueue

if _typing.TYPE_CHECKING:
    from ._install import install, installed, uninstall
    from .barrier import Barrier
    from .condition import Condition
    from .dead_letter import DeadLetter
    from .event import Event
    from .locks import Lock, RLock
    from .pipe import Pipe
    from .pipeline import Failure, Pipeline, Report, read_lines
    from .semaphores import BoundedSemaphore, Semaphore
    from .shared_array import SharedArray
    from .shared_dict import SharedDict
    from .shared_list import SharedList
    from .shared_struct import SharedStruct
    from .shared_value import SharedValue
    from .statistics import Statistics
    from .subscription import Subscription
    from .topic import Topic
    from .topic_statistics import SubscriberStatistics, TopicStatistics
    from .transports import connect, remove

__version__ = "0.1.0"

_watch_os_exit()

__all__ = [
    "BadMessage",
    "Barrier",
    "BoundedSemaphore",
    "BrokerUnreachable",
    "CodecMismatch",
    "Condition",
    "ConveyorError",
    "CorruptSegment",
    "DeadLetter",
    "Empty",
    "Event",
    "Failure",
    "Full",
    "ItemTimeout",
    "ItemTooLarge",
    "JoinableQueue",
    "Lagged",
    "Lease",
    "LeaseLost",
    "Leases",
    "Lock",
    "NotSupported",
    "OutOfMemory",
    "Pipe",
    "Pipeline",
    "PipelineError",
    "ProducerLost",
    "Queue",
    "RLock",
    "Report",
    "SegmentGone",
    "Semaphore",
    "SharedArray",
    "SharedDict",
    "SharedList",
    "SharedStruct",
    "SharedValue",
    "ShutDown",
    "SimpleQueue",
    "StageError",
    "Statistics",
    "SubscriberStatistics",
    "Subscription",
    "TooManyFailures",
    "TooManyLeases",
    "Topic",
    "TopicStatistics",
    "VersionMismatch",
    "WorkerLost",
    "WorkerTimeout",
    "WorkersLost",
    "WrongKey",
    "WrongKind",
    "__version__",
    "connect",
    "install",
    "installed",
    "read_lines",
    "remove",
    "uninstall",
]
__dir__ = __all__.copy

# Imported when first used: what they need of the standard library (multiprocessing, dataclasses) costs time.
_LAZY = {
    "Barrier": "barrier",
    "BoundedSemaphore": "semaphores",
    "Condition": "condition",
    "DeadLetter": "dead_letter",
    "Event": "event",
    "Failure": "pipeline.failure",
    "Lock": "locks",
    "Pipe": "pipe",
    "Pipeline": "pipeline.pipeline",
    "RLock": "locks",
    "Report": "pipeline.report",
    "Semaphore": "semaphores",
    "SharedArray": "shared_array",
    "SharedDict": "shared_dict",
    "SharedList": "shared_list",
    "SharedStruct": "shared_struct",
    "SharedValue": "shared_value",
    "Statistics": "statistics",
    "SubscriberStatistics": "topic_statistics",
    "Subscription": "subscription",
    "Topic": "topic",
    "TopicStatistics": "topic_statistics",
    "connect": "transports",
    "install": "_install",
    "installed": "_install",
    "read_lines": "pipeline.lines",
    "remove": "transports",
    "uninstall": "_install",
}


if not _typing.TYPE_CHECKING:  # a checker that saw it would accept any name
    __getattr__ = _lazily(__name__, _LAZY)
