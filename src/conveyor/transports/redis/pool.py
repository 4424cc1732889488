"""The connections of one backend to its server."""

from __future__ import annotations

import errno
import os
from collections import deque
from importlib import import_module
from typing import Any, NoReturn

from ...errors import WrongKind
from ..port import ConnectionLost
from ..url import Url
from .script import Script

__all__ = ["ANSWER_SECONDS", "Pool"]

ANSWER_SECONDS = 5.0
"""A server that does not answer for so long is taken for lost."""

_redis: Any = import_module("redis")
_connection: Any = import_module("redis.connection")
_retry: Any = import_module("redis.retry")
_backoff: Any = import_module("redis.backoff")
_errors: Any = _redis.exceptions

_LOST = ("READONLY", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "BUSY ", "TRYAGAIN", "UNBLOCKED")


class Pool:
    """Connections: each is used by one thread at a time, and made when no other is free.

    Closed for good: a backend that connects again makes a new pool, so that a thread that still waits on a connection
    of this one keeps it.
    """

    def __init__(self, url: Url, wait: float) -> None:
        self._url = url
        ((host, port),) = url.hosts
        options: dict[str, Any] = {
            "host": host,
            "port": port or 6379,
            "db": int(url.path or 0),
            "username": url.user or None,
            "password": url.password or None,
            "socket_timeout": ANSWER_SECONDS,
            "socket_connect_timeout": wait,
            "protocol": 2,
            # Whatever is lost is healed by the base, which knows what may be repeated.
            "retry": _retry.Retry(_backoff.NoBackoff(), 0),
        }
        self._kind = _connection.Connection
        if url.scheme == "rediss":
            self._kind = _connection.SSLConnection
            options |= {key: value for key, value in url.options.items() if key.startswith("ssl_") and value}
        self._options = options
        self._free: deque[Any] = deque()
        self._all: set[Any] = set()
        self._is_closed = False
        self._pid = os.getpid()

    def call(self, *command: Any) -> Any:
        """The answer to a command.

        Raises:
            ConnectionLost: the connection is, or the server is starting or no master now.
            PermissionError: this user may not do that.
            OSError: the server refuses, and says why.
        """
        try:
            connection = self._free.pop()
        except IndexError:
            connection = self._connect()
        try:
            connection.send_packed_command(connection.pack_command(*command), check_health=False)
            answer = connection.read_response()
        except _errors.ResponseError as error:
            self._give_back(connection)
            self._refuse(error)
        except (_errors.RedisError, OSError) as error:
            self._drop(connection)
            self._refuse(error)
        except BaseException:
            self._drop(connection)  # what it will answer is nobody's any more
            raise
        self._give_back(connection)
        return answer

    def run(self, script: Script, base: str, *arguments: Any) -> Any:
        """What a script returns for the keys that begin with `base`."""
        try:
            return self.call("EVALSHA", script.digest, 1, base, *arguments)
        except _NotKnown:
            return self.call("EVAL", script.text, 1, base, *arguments)

    def close(self) -> None:
        """Disconnect what nobody uses now, and the others when they are given back. Never raises."""
        self._is_closed = True
        while True:
            try:
                self._drop(self._free.pop())
            except IndexError:
                return

    def abandon(self) -> None:
        """Close the descriptors that a forked child has of these, and say nothing to the server."""
        self._is_closed = True
        for connection in list(self._all):
            self._drop(connection)  # redis-py shuts down no socket in another process than its own

    def _connect(self) -> Any:
        connection = self._kind(**self._options)
        self._all.add(connection)
        try:
            connection.connect()
        except (_errors.RedisError, OSError) as error:
            self._drop(connection)
            self._refuse(error)
        except BaseException:
            self._drop(connection)
            raise
        return connection

    def _give_back(self, connection: Any) -> None:
        if self._is_closed:
            self._drop(connection)
        else:
            self._free.append(connection)

    def _drop(self, connection: Any) -> None:
        self._all.discard(connection)
        connection.disconnect()

    def _refuse(self, error: Any) -> NoReturn:
        """Raise what an error of the client means."""
        text = str(error)
        if isinstance(error, _errors.NoScriptError):
            raise _NotKnown from None
        denied = _errors.AuthenticationError, _errors.AuthorizationError, _errors.NoPermissionError
        if isinstance(error, denied):
            raise PermissionError(errno.EACCES, f"{self._url}: {text}") from error
        if isinstance(error, _errors.ReadOnlyError) or text.startswith(_LOST):
            raise ConnectionLost(text) from error
        if not isinstance(error, _errors.ResponseError):
            if "CERTIFICATE_VERIFY_FAILED" in text:
                raise PermissionError(errno.EACCES, f"{self._url}: {text}") from error
            raise ConnectionLost(text) from error
        if text.startswith("WRONGTYPE"):
            raise WrongKind(f"{self._url}: another program has keys of these names: {text}") from error
        full = isinstance(error, _errors.OutOfMemoryError) or text.startswith("OOM")
        raise OSError(errno.ENOSPC if full else errno.EIO, f"{self._url}: {text}") from error


class _NotKnown(Exception):
    """The server has not seen the script yet."""
