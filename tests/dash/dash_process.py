"""A dashboard in a process of its own, for tests."""

from __future__ import annotations

import http.client
import json
import select
import subprocess
import sys
from typing import Any
from urllib.parse import urlsplit

PATIENCE = 30.0  # seconds; what takes longer hangs


class Dashboard:
    """`conveyor dash` under way. The URL is what it has printed."""

    def __init__(self, *words: str, port: int = 0) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "conveyor", "dash", "--port", str(port), *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        # It imports a web server, on a machine that may be busy.
        came = select.select([self.process.stdout], [], [], PATIENCE)[0]
        self.url = self.process.stdout.readline().strip() if came else ""
        if not self.url.startswith("http://"):
            self.end()
            raise AssertionError("it printed no URL")
        parts = urlsplit(self.url)
        self.host, self.port = parts.hostname or "", parts.port or 0
        self.origin = f"http://{parts.netloc}"

    def ask(
        self, path: str, method: str = "GET", body: Any = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body. Headers are given with `_` for `-`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            data = None if body is None else json.dumps(body).encode()
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, data, named)
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def json(self, path: str) -> Any:
        status, _, body = self.ask(path)
        assert status == 200, body
        return json.loads(body)

    def csrf(self) -> str:
        """What the page knows, and no other page."""
        page = self.ask("/")[2].decode()
        return page.partition('data-csrf="')[2].partition('"')[0]

    def end(self) -> int:
        with self.process:  # closes its pipes
            self.process.terminate()
            try:
                return self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                raise
