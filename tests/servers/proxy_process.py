"""The process of a Proxy: `proxy_process.py NAME HOST PORT TARGET_HOST TARGET_PORT NAMESPACE`.

Takes orders on the abstract Unix socket NAME, a JSON object for each connection; what they mean: proxy.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import socket
import struct
import sys
from collections import deque
from typing import Any

TO_SERVER, TO_CLIENT = "to_server", "to_client"
DIRECTIONS = {"both": (TO_SERVER, TO_CLIENT), TO_SERVER: (TO_SERVER,), TO_CLIENT: (TO_CLIENT,)}
# So much of a direction may wait here; then its sender is made to wait.
MOST_WAITING = 1 << 20
CLONE_NEWNET = 0x40000000


class Flow(asyncio.Protocol):
    """One direction of a connection: the protocol of its source's transport."""

    def __init__(self, proxy: Proxy, link: Link, direction: str) -> None:
        self._proxy, self._link, self._direction = proxy, link, direction
        self.source: asyncio.Transport | None = None
        self.sink: Flow | None = None  # the other direction: its source is where ours goes
        self._waiting: deque[tuple[float, bytes | None]] = deque()  # (when due, bytes; None: the end)
        self._size = 0
        self._timer: asyncio.TimerHandle | None = None
        self._sink_is_full = False
        self.ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.source = transport
        self._link.came()

    def data_received(self, data: bytes) -> None:
        self._take(data)

    def eof_received(self) -> bool:
        self._take(None)
        return True  # the other direction goes on

    def connection_lost(self, error: BaseException | None) -> None:
        self._link.lost(reset=error is not None)

    def pause_writing(self) -> None:  # of our source's transport, which the other direction writes to
        if self.sink is not None:
            self.sink._sink_is_full = True
            self.sink._regulate()

    def resume_writing(self) -> None:
        if self.sink is not None:
            self.sink._sink_is_full = False
            self.sink.pump()

    def _take(self, data: bytes | None) -> None:
        due = asyncio.get_running_loop().time() + self._proxy.delays[self._direction]
        self._waiting.append((due, data))
        self._size += len(data or b"")
        self.pump()

    def pump(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        loop = asyncio.get_running_loop()
        out = self.sink.source if self.sink is not None else None
        while self._waiting and out is not None and not out.is_closing() and not self._sink_is_full:
            if self._direction in self._proxy.held:
                break
            due, data = self._waiting[0]
            if due > loop.time():
                self._timer = loop.call_at(due, self.pump)
                break
            self._waiting.popleft()
            if data is None:
                with contextlib.suppress(OSError):  # the other side is gone meanwhile
                    out.write_eof()
                self.ended = True
                self._link.ended()
                continue
            self._size -= len(data)
            allowed = self._proxy.allowance(self._direction, len(data))
            out.write(data[:allowed])
            self._proxy.passed[self._direction] += min(allowed, len(data))
            if allowed < len(data) or self._proxy.allowance(self._direction, 1) == 0:
                self._proxy.limits.pop(self._direction)
                self._link.reset()
                return
        self._regulate()

    def _regulate(self) -> None:
        if self.source is None or self.source.is_closing():
            return
        if self._size > MOST_WAITING:
            self.source.pause_reading()
        else:
            self.source.resume_reading()


class Link:
    """A client's connection and ours to the server."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self.up = Flow(proxy, self, TO_SERVER)  # its source is the client
        self.down = Flow(proxy, self, TO_CLIENT)
        self._connecting: asyncio.Task[None] | None = None
        self._over = False
        proxy.links.add(self)

    def came(self) -> None:
        if self.down.source is None:
            if self._connecting is None:
                self._connecting = asyncio.get_running_loop().create_task(self._connect())
            return
        if self._over:
            self.down.source.abort()
            return
        self.up.sink, self.down.sink = self.down, self.up
        self.up.pump()

    async def _connect(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: self.down, *self._proxy.target)
        except OSError:
            self.reset()

    def flows(self, direction: str) -> list[Flow]:
        return [{TO_SERVER: self.up, TO_CLIENT: self.down}[each] for each in DIRECTIONS[direction]]

    def reset(self) -> None:
        """Both sides get an RST."""
        self._over = True
        for flow in (self.up, self.down):
            if flow.source is None or flow.source.is_closing():
                continue
            connection = flow.source.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            flow.source.abort()
        self._proxy.links.discard(self)

    def close(self) -> None:
        self._over = True
        for flow in (self.up, self.down):
            if flow.source is not None:
                flow.source.close()
        self._proxy.links.discard(self)

    def ended(self) -> None:
        if self.up.ended and self.down.ended:
            self.close()

    def lost(self, *, reset: bool) -> None:
        if not self._over:
            (self.reset if reset else self.close)()

    def half_close(self, direction: str) -> None:
        for flow in self.flows(direction):
            if flow.sink is not None and flow.sink.source is not None and flow.sink.source.can_write_eof():
                with contextlib.suppress(OSError):  # the other side is gone meanwhile
                    flow.sink.source.write_eof()


class Proxy:
    def __init__(self, host: str, port: int, target: tuple[str, int]) -> None:
        self._where = (host, port)
        self.target = target
        self.links: set[Link] = set()
        self.delays = {TO_SERVER: 0.0, TO_CLIENT: 0.0}
        self.held: set[str] = set()
        self.passed = {TO_SERVER: 0, TO_CLIENT: 0}
        self.limits: dict[str, int] = {}
        self._listener: asyncio.Server | None = None

    def allowance(self, direction: str, wanted: int) -> int:
        if direction not in self.limits:
            return wanted
        left = self.limits[direction] - self.passed[direction]
        return max(0, min(wanted, left))

    async def listen(self) -> None:
        if self._listener is None:
            made = socket.create_server(self._where, backlog=256)
            self._listener = await asyncio.get_running_loop().create_server(lambda: Link(self).up, sock=made)

    async def obey(self, do: str, **how: Any) -> dict[str, Any]:
        links = list(self.links)
        match do:
            case "cut":
                for link in links:
                    link.reset()
            case "close":
                for link in links:
                    link.close()
            case "half_close":
                for link in links:
                    link.half_close(how["direction"])
            case "refuse":
                if self._listener is not None:
                    self._listener.close()
                    self._listener = None
            case "accept":
                await self.listen()
            case "delay":
                for direction in DIRECTIONS[how["direction"]]:
                    self.delays[direction] = how["seconds"]
            case "hold":
                self.held.update(DIRECTIONS[how["direction"]])
            case "release":
                self.held.difference_update(DIRECTIONS[how["direction"]])
                for link in links:
                    link.up.pump()
                    link.down.pump()
            case "cut_after":
                for direction in DIRECTIONS[how["direction"]]:
                    self.limits[direction] = self.passed[direction] + how["count"]
            case "retarget":
                self.target = (how["host"], how["port"])
            case "count":
                pass
            case _:
                raise ValueError(f"unknown order {do!r}")
        return {"count": len(links), **self.passed}


def enter(namespace: str) -> None:
    """From now on, the sockets of this process are made in that network namespace."""
    inside = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(inside, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
    finally:
        os.close(inside)


async def main() -> None:
    name, host, port, target_host, target_port, namespace = sys.argv[1:]
    proxy = Proxy(host, int(port), (target_host, int(target_port)))

    async def order(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            reply = await proxy.obey(**json.loads(await reader.readline()))
        except Exception as error:
            reply = {"error": f"{type(error).__name__}: {error}"}
        writer.write(json.dumps(reply).encode() + b"\n")
        writer.close()

    # Bound where whoever gives the orders is; heard from when there is something to obey them.
    orders = socket.socket(socket.AF_UNIX)
    orders.bind(f"\0{name}")
    if namespace:
        enter(namespace)
    await proxy.listen()
    async with await asyncio.start_unix_server(order, sock=orders) as server:
        await server.serve_forever()


asyncio.run(main())
