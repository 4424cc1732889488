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
#   dash/ | starlette uvicorn
#   bench/ | cyclopts rich matplotlib numpy zmq faster_fifo dejaq py_sharedmemory interprocess
#   inspection/ | rich
#   __init__
#   telemetry | opentelemetry
#   testing
#   joblib | joblib cloudpickle
#   executors/
#   pipeline/ | rich IPython cloudpickle threadpoolctl fsspec pyarrow
#   multiprocessing/
#   _install
#   shared/ | numpy
#   transports/ | pika confluent_kafka redis nats numpy torch typing_extensions
#   topics/
#   queues/ | numpy torch
#   _memory/ | numpy torch jax polars pyarrow
#   codecs/ | msgspec pyarrow numpy
#   _native
#   protocols | numpy torch
#   _processors
#   _control_groups/, _lazy, _public, _carried, _command_line, _interpreter, errors
#
# Under _native lies core/, in C++, which knows no Python.
import sys as _sys
import typing as _typing

if not _sys.platform.startswith("linux"):
    raise ImportError(
        f"conveyor needs Linux (memfd and futex), and this is {_sys.platform}; "
        "use the standard library's multiprocessing.Queue here"
    )

from ._interpreter import gil_is_off as _gil_is_off
from ._interpreter import subinterpreter as _subinterpreter

if (_number := _subinterpreter()) is not None:
    raise ImportError(
        f"conveyor works in the main interpreter of a process, and this is subinterpreter {_number}: what it keeps of "
        "shared memory belongs to the process; use processes (conveyor.multiprocessing, conveyor.Pipeline) or threads "
        "of the main interpreter"
    )

from ._lazy import lazy as _lazily
from ._memory.normal_end import watch_os_exit as _watch_os_exit

if _gil_is_off():  # now that native code is loaded
    raise ImportError(
        "conveyor needs the GIL, which PYTHON_GIL=0 or -X gil=0 keeps switched off: threads that put at the same time "
        "would put wrong items; leave that setting out, and importing conveyor switches the GIL on"
    )

from ._public import former_modules as _former_modules
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
    WorkerPoolBroken,
    WorkerTimeout,
    WrongKey,
    WrongKind,
)
from .queues.joinable_queue import JoinableQueue
from .queues.leases import Lease, Leases
from .queues.queue import Queue
from .queues.simple_queue import SimpleQueue

if _typing.TYPE_CHECKING:
    from ._install import install, installed, uninstall
    from .errors import WorkersLost as WorkersLost
    from .executors.process_pool_executor import ProcessPoolExecutor
    from .pipeline import (
        Again,
        Failure,
        Pipeline,
        Report,
        Worker,
        Workers,
        keyed,
        read_csv,
        read_jsonl,
        read_lines,
        read_parquet,
    )
    from .queues.dead_letter import DeadLetter
    from .queues.pipe import Pipe
    from .queues.statistics import Statistics
    from .shared.array import SharedArray
    from .shared.barrier import Barrier
    from .shared.condition import Condition
    from .shared.dict import SharedDict
    from .shared.event import Event
    from .shared.list import SharedList
    from .shared.locks import Lock, RLock
    from .shared.semaphores import BoundedSemaphore, Semaphore
    from .shared.struct import SharedStruct
    from .shared.value import SharedValue
    from .topics.statistics import SubscriberStatistics, TopicStatistics
    from .topics.subscription import Subscription
    from .topics.topic import Topic
    from .transports import connect, remove

__version__ = "0.2.0"

_watch_os_exit()
_former_modules(__name__)

__all__ = [
    "Again",
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
    "ProcessPoolExecutor",
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
    "Worker",
    "WorkerLost",
    "WorkerPoolBroken",
    "WorkerTimeout",
    "Workers",
    "WrongKey",
    "WrongKind",
    "__version__",
    "connect",
    "install",
    "installed",
    "keyed",
    "read_csv",
    "read_jsonl",
    "read_lines",
    "read_parquet",
    "remove",
    "uninstall",
]
__dir__ = __all__.copy

# Imported when first used: what they need of the standard library (multiprocessing, dataclasses) costs time.
_LAZY = {
    "Barrier": "shared.barrier",
    "BoundedSemaphore": "shared.semaphores",
    "Condition": "shared.condition",
    "DeadLetter": "queues.dead_letter",
    "Event": "shared.event",
    "Failure": "pipeline.base.failure",
    "Lock": "shared.locks",
    "Pipe": "queues.pipe",
    "Again": "pipeline.base.again",
    "Pipeline": "pipeline.pipeline",
    "ProcessPoolExecutor": "executors.process_pool_executor",
    "RLock": "shared.locks",
    "Report": "pipeline.report.report",
    "Semaphore": "shared.semaphores",
    "SharedArray": "shared.array",
    "SharedDict": "shared.dict",
    "SharedList": "shared.list",
    "SharedStruct": "shared.struct",
    "SharedValue": "shared.value",
    "Statistics": "queues.statistics",
    "SubscriberStatistics": "topics.statistics",
    "Subscription": "topics.subscription",
    "Topic": "topics.topic",
    "TopicStatistics": "topics.statistics",
    "Worker": "pipeline.worker.identity",
    "Workers": "pipeline.workers",
    "WorkersLost": "errors",  # WorkerPoolBroken's former name
    "connect": "transports",
    "install": "_install",
    "installed": "_install",
    "read_csv": "pipeline.sources.csv_rows",
    "read_jsonl": "pipeline.sources.json_lines",
    "keyed": "pipeline.sources.keyed",
    "read_lines": "pipeline.sources.lines",
    "read_parquet": "pipeline.sources.parquet",
    "remove": "transports",
    "uninstall": "_install",
}


if not _typing.TYPE_CHECKING:  # a checker that saw it would accept any name
    __getattr__ = _lazily(__name__, _LAZY)
