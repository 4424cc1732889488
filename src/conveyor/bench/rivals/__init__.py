"""The queues that are measured side by side, one adapter a file; the order is that of the tables."""

# Layer map, highest floor first, as in conveyor/__init__.py.
#
#   conveyor_allocate, faster_fifo
#   conveyor
#   cloudtoid, dejaq, py_sharedmemory, standard_library, subetha, zeromq
#   base

from __future__ import annotations

from conveyor.bench.rivals.base import Channel, Receiver, Rival, Sender, Shape, Tally
from conveyor.bench.rivals.cloudtoid import Cloudtoid
from conveyor.bench.rivals.conveyor import Conveyor, ConveyorMany, ConveyorUnbounded
from conveyor.bench.rivals.conveyor_allocate import ConveyorAllocate
from conveyor.bench.rivals.dejaq import Dejaq
from conveyor.bench.rivals.faster_fifo import FasterFifo, FasterFifoMany
from conveyor.bench.rivals.py_sharedmemory import PySharedMemory
from conveyor.bench.rivals.standard_library import StandardQueue, StandardSimpleQueue
from conveyor.bench.rivals.subetha import Subetha
from conveyor.bench.rivals.zeromq import ZeroMQ

__all__ = ["RIVALS", "Channel", "Receiver", "Rival", "Sender", "Shape", "Tally"]

RIVALS: dict[str, Rival] = {
    rival.name: rival
    for rival in (
        Conveyor(),
        ConveyorMany(),
        ConveyorUnbounded(),
        ConveyorAllocate(),
        StandardQueue(),
        StandardSimpleQueue(),
        FasterFifo(),
        FasterFifoMany(),
        Cloudtoid(),
        ZeroMQ(),
        Dejaq(),
        PySharedMemory(),
        Subetha(),
    )
}
