"""`conveyor dash`: a page that shows queues, pipelines and failures as they are now."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from .exit_codes import CommandError, ExitCode

__all__ = ["USAGE", "dash"]

USAGE = """conveyor dash [OPTIONS] [URL...]

Examples:
  conveyor dash                                 all that is on this machine
  conveyor dash redis://localhost/0/jobs        and queues on brokers
  conveyor dash --host 0.0.0.0 --read-only      for others to see, with a token
  curl localhost:8642/metrics                   for Prometheus
"""


def dash(
    *urls: str,
    host: str = "127.0.0.1",
    port: int = 8642,
    read_only: Annotated[bool, Parameter(negative="")] = False,
    token: str | None = None,
    while_pid: Annotated[int | None, Parameter(name="--while")] = None,
) -> int:
    """Serve a page that shows this user's queues, topics, pipelines and failures, and prints its URL.

    It watches from outside, and costs what it watches nothing. Queues that have
    a name, or whose URL is given, can be looked into, moved and purged.

    Ctrl-C ends it, with exit code 0.

    Args:
        urls: Queues and topics on brokers, to be shown as well.
        host: Address to listen on. Any but loopback needs a token, which is made and printed in the URL.
        port: The first port to try; the next free one is taken. 0: any.
        read_only: Nothing can be changed from the page: what would change something is not there.
        token: What a browser must show, or "auto" to have one made: for a machine that others use, too.
        while_pid: End when the process of this number has ended.
    """
    import secrets

    from ..dash.server import missing_packages, serve
    from ..dash.settings import Settings
    from ..transports.url import masked

    if missing := missing_packages():
        raise CommandError(missing)
    for url in urls:
        if "://" not in url:
            raise CommandError(f"{masked(url)!r} is no URL, as in redis://localhost/0/jobs")
    made = secrets.token_urlsafe(24) if token == "auto" else token or ""
    try:
        settings = Settings(urls, host=host, port=port, read_only=read_only, token=made, while_pid=while_pid)
        return serve(settings)
    except ValueError as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        raise CommandError(
            f"cannot listen on {host}:{port}: {error.strerror or error}", ExitCode.UNREACHABLE
        ) from None
