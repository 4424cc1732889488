"""`sqlite:///jobs.db?queue=jobs`: durable queues in a file of this machine, without a server.

The items are rows of a SQLite database in WAL mode: store.py, schema.py. What processes must know of each other while
they live (who has which item under lease, who waits for what, whose turn it is to write) lies in shared memory, in a
file beside the database: coordination.py. That is rebuilt from the database when a process dies within a change.
backend.py, on section.py, putting.py and taking.py, is what the base of all transports asks for.
"""

# Layer map, highest floor first, as in conveyor/__init__.py.
#
#   backend
#   putting, taking
#   section
#   store
#   coordination, filesystem, forks, schema

from __future__ import annotations

from ...errors import NotSupported
from ..port import Backend
from ..topic_port import TopicBackend
from ..url import Option, Shape, Url
from .backend import SqliteBackend

__all__ = ["SHAPE", "queue", "topic"]

SHAPE = Shape(
    "sqlite:///jobs.db?queue=jobs",
    hosts=False,
    file=True,
    options={
        "queue": Option("str"),
        "sync": Option("full|normal|off", "normal"),
        "filesystem": Option("check|local", "check"),
    },
)


def queue(url: Url) -> Backend:
    """The queue at `url`."""
    return SqliteBackend(url)


def topic(url: Url) -> TopicBackend:
    """There is none."""
    raise NotSupported(f"{url}: sqlite:// has no topics; use shm:// on one machine, or a broker")
