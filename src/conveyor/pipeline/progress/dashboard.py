"""Dashboard: the page of `conveyor dash`, open for the time of a run."""

from __future__ import annotations

import os
import subprocess
import sys
from types import TracebackType

from ...errors import PipelineError

__all__ = ["Dashboard"]

_PATIENCE = 10.0  # seconds for it to end by itself


class Dashboard:
    """A process of its own, which says where its page is and ends with the block; or with this process, however that
    ends.

    Nothing can be changed from its page. It watches from outside, as anybody can: the run is none the slower for it.

    Raises (on entering):
        PipelineError: it could not be started; the text says what is missing.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> str:
        command = [sys.executable, "-m", "conveyor", "dash", "--read-only", "--while", str(os.getpid())]
        self._process = process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for the run
        )
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        if not url:
            _, said = process.communicate()
            raise PipelineError(f"dashboard=True: {said.strip() or 'the page could not be served'}")
        print(f"conveyor: dashboard at {url}", file=sys.stderr)
        return url

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if (process := self._process) is None:
            return
        process.terminate()
        try:
            process.communicate(timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
