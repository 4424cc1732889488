"""The keeper of the servers, as the test run sees it."""

from __future__ import annotations

import atexit
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

__all__ = ["Keeper", "keeper"]


class Keeper:
    """Starts processes that end with this one; see keeper_process.py. Any child of ours may use it too."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="conveyor-servers-"))
        self._name = f"conveyor-tests-{secrets.token_hex(8)}"
        self._owner = os.getpid()
        subprocess.run(
            [
                sys.executable,
                "-SE",
                str(Path(__file__).with_name("keeper_process.py")),
                str(self._owner),
                str(self.folder),
                self._name,
            ],
            check=True,
        )
        atexit.register(self._end)

    def start(self, argv: list[str], *, env: dict[str, str], cwd: Path, log: Path) -> int:
        """Starts a program; returns the pid of its first process, by which its whole group is known."""
        reply = self._ask(do="start", argv=argv, env=env, cwd=str(cwd), log=str(log))
        return int(reply["pid"])

    def signal(self, pid: int, number: int) -> None:
        """To every process of the group; nothing happens if there is none any more."""
        self._ask(do="signal", pid=pid, number=int(number))

    def is_alive(self, pid: int) -> bool:
        """Whether any process of the group lives."""
        return bool(self._ask(do="alive", pid=pid)["alive"])

    def exitcode(self, pid: int) -> int | None:
        code = self._ask(do="alive", pid=pid)["exitcode"]
        return None if code is None else int(code)

    def port(self) -> int:
        """A port of the loopback that is ours until the end of the run."""
        return int(self._ask(do="port")["port"])

    def number(self, what: str, most: int) -> int:
        """A number under `most` that no other test run of this machine has for the same purpose."""
        return int(self._ask(do="number", what=what, most=most)["number"])

    def _ask(self, **request: Any) -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(30)
            connection.connect(f"\0{self._name}")
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as stream:
                reply: dict[str, Any] = json.loads(stream.readline() or b"{}")
        if "error" in reply:
            raise OSError(f"the keeper of the servers cannot do {request['do']!r}: {reply['error']}")
        return reply

    def _end(self) -> None:
        if os.getpid() == self._owner:
            self._ask(do="end")


_keeper: Keeper | None = None


def keeper() -> Keeper:
    """The one of this test run."""
    global _keeper
    if _keeper is None:
        _keeper = Keeper()
    return _keeper
