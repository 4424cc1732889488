"""serve: the dashboard's process, from its socket to its end."""

from __future__ import annotations

import asyncio
import errno
import os
import select
import signal
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from importlib.util import find_spec
from urllib.parse import quote

from .feed import Feed
from .lookout import Lookout
from .settings import Settings

__all__ = ["missing_packages", "serve"]

_PORTS = 100  # that are tried, from the one that is asked for
_CONNECTIONS = 200


def missing_packages() -> str:
    """What to install before a dashboard can be served; "": nothing."""
    missing = [name for name in ("starlette", "uvicorn") if find_spec(name) is None]
    if not missing:
        return ""
    return f"the dashboard needs {' and '.join(missing)}, not installed here: pip install 'conveyor[dash]'"


def serve(settings: Settings) -> int:
    """Print the URL, and serve until SIGINT or SIGTERM.

    Returns:
        0.

    Raises:
        OSError: it cannot listen there.
    """
    import uvicorn

    from .routes import make_app

    listening = _listening(settings)
    lookout = Lookout(settings)
    feed = Feed(lookout, settings.every)
    config = uvicorn.Config(
        make_app(settings, lookout, feed),
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        limit_concurrency=_CONNECTIONS,
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)

    def stop(*_: object) -> None:
        server.should_exit = True

    # uvicorn, when it has ended in good order, raises the signal once more: this is what it then meets.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)

    async def run() -> None:
        feed.start()
        ending = asyncio.ensure_future(_end_streams(server, feed))
        await server.serve([listening])
        ending.cancel()
        feed.stop()

    with listening, _ending_with(settings.while_pid):
        print(_url(settings, listening), flush=True)
        asyncio.run(run())
    return 0


@contextmanager
def _ending_with(pid: int | None) -> Generator[None]:
    """While the block lasts, this process is told to end as soon as that one has ended."""
    if pid is None:
        yield
        return
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError as error:
        raise ValueError(f"--while is {pid}; there is no such process") from error
    done, wake = os.pipe()

    def wait() -> None:
        ready, _, _ = select.select([process, done], [], [])
        if done not in ready:
            os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=wait, name="conveyor-dash-while", daemon=True)
    thread.start()
    try:
        yield
    finally:
        os.close(wake)
        thread.join()
        os.close(done)
        os.close(process)


async def _end_streams(server: object, feed: Feed) -> None:
    """Streams end before the server waits for them."""
    while not getattr(server, "should_exit", True):
        await asyncio.sleep(0.1)
    feed.stop()


def _listening(settings: Settings) -> socket.socket:
    """A socket at the first port from `settings.port` on that is free."""
    host = settings.host.strip("[]")
    family, _, _, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
    last = min(settings.port + _PORTS, 65536) if settings.port else 1
    for port in range(settings.port, last):
        made = socket.socket(family, socket.SOCK_STREAM)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind((address[0], port, *address[2:]))
            made.listen(128)
        except OSError as error:
            made.close()
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            return made
    raise OSError(
        errno.EADDRINUSE, f"the ports {settings.port} to {last - 1} of {settings.host} are all taken"
    )


def _url(settings: Settings, listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = socket.gethostname()
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}/" + (f"?token={quote(settings.token)}" if settings.token else "")
