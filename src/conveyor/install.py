"""install: make every library that uses `multiprocessing` queues use conveyor's, in children too.

What the standard library's factories (`multiprocessing.Queue()`, a context's `Queue()`, `Pool`,
`ProcessPoolExecutor`) make is looked up in `multiprocessing.queues` and `multiprocessing.connection`
at each call: there conveyor's classes are put. Code that took the classes themselves out of there
before, by subclassing them for instance, keeps what it took, and that goes on to work.

A forked child inherits all this. To a spawned one, or one from a fork server, the order to install
goes at the head of what it is sent, so that it is carried out before anything of the program's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass
