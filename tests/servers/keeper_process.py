"""The process that starts the servers of a test run, and ends them with it: `keeper_process.py OWNER FOLDER NAME`.

It answers on the abstract Unix socket NAME, a JSON object for each connection. When the process OWNER has
ended, however it did, every server is killed, FOLDER is removed, and so it goes itself. Nothing of it
belongs to OWNER: no child, no descriptor, so that a test that looks for leaks sees its own alone.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
# Under the range from which Linux takes the ports of outgoing connections: none of those can sit on a
# server's port while the server is down, nor can a client that looks for it there connect to itself.
PORTS = range(20_000, 32_000)

_prctl = ctypes.CDLL(None, use_errno=True).prctl


def _die_with_keeper() -> None:
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Keeper:
    def __init__(self) -> None:
        self._groups: set[int] = set()  # of what was started, by the pid of its first process
        self._codes: dict[int, int] = {}
        self._claims: list[socket.socket] = []

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        what = request.pop("do")
        return getattr(self, f"do_{what}")(**request) or {}

    def do_start(self, argv: list[str], env: dict[str, str], cwd: str, log: str) -> dict[str, Any]:
        with open(log, "ab") as output:  # noqa: PTH123
            started = subprocess.Popen(
                argv,
                env=env,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_keeper,
            )
        started.returncode = 0  # we collect our children ourselves
        self._groups.add(started.pid)
        return {"pid": started.pid}

    def do_signal(self, pid: int, number: int) -> None:
        """To all of the group, if there is anybody left of it."""
        if self._alive(pid):
            os.killpg(pid, number)

    def do_alive(self, pid: int) -> dict[str, Any]:
        return {"alive": self._alive(pid), "exitcode": self._codes.get(pid)}

    def do_port(self) -> dict[str, Any]:
        start = random.randrange(len(PORTS))
        for port in [*PORTS[start:], *PORTS[:start]]:
            if self._claim(f"port-{port}") and is_free(port):
                return {"port": port}
        raise OSError("no port is free")

    def do_number(self, what: str, most: int) -> dict[str, Any]:
        start = random.randrange(most)
        for number in [*range(start, most), *range(start)]:
            if self._claim(f"{what}-{number}"):
                return {"number": number}
        raise OSError(f"no {what} is free")

    def _claim(self, what: str) -> bool:
        """Whether no other test run of this network namespace has it; it is ours then until we end."""
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0conveyor-tests-{what}")
        except OSError:
            claim.close()
            return False
        self._claims.append(claim)
        return True

    def _alive(self, pid: int) -> bool:
        self.collect()
        if pid not in self._groups:
            return False
        try:
            os.killpg(pid, 0)
        except ProcessLookupError:
            self._groups.discard(pid)  # the number may be somebody else's from now on
            return False
        return True

    def collect(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in self._groups:
                self._codes[pid] = os.waitstatus_to_exitcode(status)

    def end(self) -> None:
        deadline = time.monotonic() + 10
        while any(self._alive(pid) for pid in list(self._groups)) and time.monotonic() < deadline:
            for pid in list(self._groups):
                self.do_signal(pid, signal.SIGKILL)
            time.sleep(0.005)


def is_free(port: int) -> bool:
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def serve(keeper: Keeper, listener: socket.socket, owner: int) -> None:
    """Answers until the owner has ended or says so."""
    waker, wakened = socket.socketpair()
    waker.setblocking(False)
    signal.set_wakeup_fd(waker.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while True:
        ready, _, _ = select.select([owner, listener, wakened], [], [])
        if owner in ready:
            return
        if wakened in ready:
            wakened.recv(4096)
            keeper.collect()
        if listener not in ready:
            continue
        connection, _ = listener.accept()
        with connection, connection.makefile("rwb") as stream:
            line = stream.readline()
            if not line:
                continue
            request = json.loads(line)
            if request["do"] == "end":
                keeper.end()
                stream.write(b"{}\n")
                return
            try:
                reply = keeper.answer(request)
            except Exception as error:
                reply = {"error": f"{type(error).__name__}: {error}"}
            stream.write(json.dumps(reply).encode() + b"\n")


def main() -> None:
    owner_pid, folder, name = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    owner = os.pidfd_open(owner_pid)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"\0{name}")
    listener.listen(64)
    if os.fork() != 0:
        os._exit(0)  # from now on it listens, and is nobody's child
    os.setsid()
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # not SIG_IGN: what is started would inherit that
    keeper = Keeper()
    try:
        serve(keeper, listener, owner)
    finally:
        keeper.end()
        shutil.rmtree(folder, ignore_errors=True)


main()
