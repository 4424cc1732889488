"""What pika logs of our connections: nothing. We say by exceptions what was lost, and heal what can be."""

from __future__ import annotations

import logging

__all__ = ["THREAD", "silence"]

THREAD = "conveyor-rabbitmq"
"""The name of the threads that our connections live in."""


def _is_foreign(record: logging.LogRecord) -> bool:
    return record.threadName != THREAD


def silence() -> None:
    """Let pika's loggers drop what comes of our threads, and that alone. Called after pika was imported."""
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] == "pika":
            logging.getLogger(name).addFilter(_is_foreign)
