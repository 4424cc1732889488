"""What queues and topics on NATS have in common: the connection, and the control record."""

from __future__ import annotations

import errno
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from ...errors import NotSupported, WrongKind
from ..loop_connection import LoopConnection
from ..port import Capabilities, ConnectionLost, Ended, Message
from ..url import Url
from .names import BUCKET, Names
from .protocol import ApiError, NobodyThere, checked
from .wire import Wire

__all__ = ["HEADER_BYTES", "NatsConnection"]

# Of an account, and of a server, without JetStream.
_NO_JETSTREAM = 10039, 10076
# No room on its disk, or more than the account may have.
_NO_ROOM = 10023, 10028, 10047
# So many bytes of a message may be our headers.
HEADER_BYTES = 512


class NatsConnection(LoopConnection[Wire]):
    """A queue or topic on a server."""

    thread_name = "conveyor-nats"
    answer_seconds = 5.0
    refusals = (ApiError, NobodyThere)

    def __init__(self, url: Url) -> None:
        super().__init__(url)
        self._names = Names(url.name)
        keep_alive: float = url.options["keep_alive"]
        self._keep_alive = keep_alive
        self._is_at_end = False  # as the record said when it was read last
        self.capabilities = Capabilities(
            ends_leases=True, keep_alive=keep_alive, counts_deliveries=True, lists_groups=False
        )

    # -- connection

    def _new_wire(self) -> Wire:
        return Wire(self._url)

    def _port(self) -> int:
        return 4222

    async def _opened(self, wire: Wire) -> None:
        await wire.subscribe(f"{self._names.bell}.*", self._rung)  # what must be heard

    def _rung(self, message: Any) -> None:
        """Something has changed for those who wait."""

    def _meaning(self, error: ApiError | NobodyThere) -> Exception:
        """What an error of JetStream means to a user."""
        if isinstance(error, NobodyThere):
            return ConnectionLost(f"nobody serves {self._names.stream} now")
        if error.code in _NO_JETSTREAM:
            return NotSupported(f"{self._url}: JetStream is off for this account: {error}")
        if error.code in (ApiError.NO_STREAM, ApiError.NO_CONSUMER):
            return self._removed()
        if error.code in _NO_ROOM:
            return OSError(errno.ENOSPC, f"{self._url}: {error}")
        if error.code == ApiError.TAKEN:
            return WrongKind(f"{self._url}: another stream has its name: {error}")
        return ConnectionLost(str(error))

    @staticmethod
    def _headers(message: Message) -> dict[str, str]:
        return {"Content-Type": message.content_type, "Nats-Msg-Id": message.id}

    # -- the control record

    def read_record(self) -> tuple[bytes, Any] | None:
        found = self._do(self._read_record)
        if found is not None:
            self._is_at_end = b'"ended":true' in found[0]
        return found

    async def _read_record(self, wire: Wire) -> tuple[bytes, int] | None:
        found = await wire.message(BUCKET, last_by_subj=self._names.record)
        return None if found is None or not found[2] else (found[2], found[0])

    def write_record(self, record: bytes, version: Any) -> bool:
        ended = b'"ended":true' in record

        async def write(wire: Wire) -> bool:
            if version is None:
                await self._make_bucket(wire)
                if await self._read_record(wire) is not None:
                    return False
                await self._make(wire)
            try:
                await self._write_record(wire, record, version or 0)
            except ApiError as error:
                if error.code != ApiError.NOT_LAST:
                    raise
                return False
            if ended:
                await self._end(wire)
            return True

        if version is None:
            self._check(record)
        written = self._do(write)
        self._is_at_end = self._is_at_end or (written and ended)
        return written

    async def _write_record(self, wire: Wire, record: bytes, version: int) -> None:
        headers = {"Nats-Expected-Last-Subject-Sequence": str(version)}
        checked(await wire.ask(self._names.record, record, headers))

    async def _make_bucket(self, wire: Wire) -> None:
        try:
            await wire.api(f"STREAM.INFO.{BUCKET}")
        except ApiError as error:
            if error.code != ApiError.NO_STREAM:
                raise
            config = {
                "subjects": ["$KV.conveyor.>"],
                "max_msgs_per_subject": 1,
                "discard": "new",
                "deny_delete": True,
                "allow_rollup_hdrs": True,
                "allow_direct": True,
            }
            try:
                await self._make_stream(wire, BUCKET, config)
            except ApiError as error:
                if error.code != ApiError.TAKEN:  # somebody has just made it for another number of servers
                    raise

    async def _make_stream(self, wire: Wire, name: str, config: Mapping[str, Any]) -> None:
        """Make a stream, or find it made so."""
        full = {
            "name": name,
            "retention": "limits",
            "storage": "file",
            "max_msgs": -1,
            "max_bytes": -1,
            "max_consumers": -1,
            "num_replicas": self._url.options["replicas"],
            **config,
        }
        await wire.api(f"STREAM.CREATE.{name}", full)

    def declare(self, settings: Any) -> None:
        async def end(wire: Wire) -> None:
            await self._end(wire)

        if self._is_at_end:  # the process that wrote that may have died before the rest
            self._do(end)

    async def _end(self, wire: Wire) -> None:
        """See to it that nothing more can be put, and wake those who wait."""
        found = await wire.api(f"STREAM.INFO.{self._names.stream}")
        closed = {**found["config"], **self._at_end()}
        if found["config"] != closed:
            await wire.api(f"STREAM.UPDATE.{self._names.stream}", closed)
            wire.say(f"{self._names.bell}.end")

    def destroy(self) -> None:
        async def destroy(wire: Wire) -> bool:
            if await self._read_record(wire) is None:
                return False
            names = self._names
            for stream in (names.stream, names.dead_stream, names.readers_stream):
                await self._delete_stream(wire, stream)
            await wire.api(f"STREAM.PURGE.{BUCKET}", {"filter": names.record})
            wire.say(f"{names.bell}.end")
            return True

        if not self._do(destroy):
            raise FileNotFoundError(f"{self._url} does not exist")

    async def _delete_stream(self, wire: Wire, stream: str) -> None:
        """Delete a stream; none of that name is no error."""
        try:
            await wire.api(f"STREAM.DELETE.{stream}")
        except ApiError as error:
            if error.code != ApiError.NO_STREAM:
                raise

    def _check(self, record: bytes) -> None:
        """Whether what the record says can be kept."""

    @abstractmethod
    async def _make(self, wire: Wire) -> None:
        """Make what there is beside the record."""

    @abstractmethod
    def _at_end(self) -> Mapping[str, Any]:
        """How the stream is configured when nothing more can be put."""

    def _after_nobody(self, error: NobodyThere) -> Exception:
        """What it means that nobody listens where we put: the end, if that is what the record says."""
        found = self.read_record()
        if found is None:
            return self._removed()
        return Ended() if self._is_at_end else self._meaning(error)
