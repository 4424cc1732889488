"""What is said to a server, and what it answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

__all__ = ["ApiError", "NobodyThere", "checked", "published"]


class NobodyThere(Exception):
    """Nobody listens to that subject: there is no such stream, or nobody serves it now."""


class ApiError(Exception):
    """What JetStream says that it cannot do."""

    def __init__(self, error: Mapping[str, Any]) -> None:
        super().__init__(f"{error.get('description')} ({error.get('err_code')})")
        self.code: int = error.get("err_code", 0)

    NO_CONSUMER, NO_MESSAGE, NO_STREAM, TAKEN, FULL = 10014, 10037, 10059, 10058, 10077
    NOT_BEHIND, NOT_LAST = 10070, 10071


def published(subject: str, reply: str, body: bytes, headers: Mapping[str, str] | None) -> bytes:
    """A message as the protocol has it."""
    to = f"{subject} {reply}" if reply else subject
    if headers is None:
        return b"PUB %b %d\r\n%b\r\n" % (to.encode(), len(body), body)
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    head = f"NATS/1.0\r\n{lines}\r\n".encode()
    return b"HPUB %b %d %d\r\n%b%b\r\n" % (to.encode(), len(head), len(head) + len(body), head, body)


def checked(answer: bytes) -> Any:
    """What JetStream has answered.

    Raises:
        ApiError: that it cannot.
    """
    found = json.loads(answer)
    if "error" in found:
        raise ApiError(found["error"])
    return found
