"""The addresses of the dashboard, and what each answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from html import escape
from pathlib import Path
from typing import Any, cast

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from ..errors import ConveyorError
from ..inspection import Snapshot, exposition
from .actions import Actions
from .events import Events
from .feed import VIEWS, Feed, as_json
from .guard import Guard
from .lookout import Lookout
from .schema import schema
from .settings import Settings

__all__ = ["make_app"]

_STATIC = Path(__file__).parent / "static"
_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
_LARGEST_BODY = 64 * 1024


def make_app(settings: Settings, lookout: Lookout, feed: Feed) -> Guard:
    """The whole application, with its guard before it."""
    return Guard(Starlette(routes=_routes(settings, lookout, feed)), settings)


def _routes(settings: Settings, lookout: Lookout, feed: Feed) -> list[Route]:
    page = _page(settings)
    actions = Actions(settings, lookout)

    async def index(request: Request) -> Response:
        return Response(page, media_type="text/html", headers={"cache-control": "no-store"})

    async def healthz(request: Request) -> Response:
        return PlainTextResponse(f"{feed.error or 'ok'}\n", 503 if feed.error else 200)

    async def metrics(request: Request) -> Response:
        kind = exposition.negotiated(request.headers.get("accept", ""))
        await feed.next(0)
        snapshot: Snapshot = lookout.snapshot
        return Response(exposition.text(snapshot, lookout.broker_figures(), kind), media_type=kind.value)

    async def described(request: Request) -> Response:
        return JSONResponse(schema())

    async def view(request: Request) -> Response:
        name = request.path_params["view"]
        if name not in VIEWS or name == "queue":
            return _problem(404, f"there is no {name[:40]!r} here; there are {', '.join(VIEWS)}")
        await feed.next(0)
        return _json(feed.frame(name, "", 0.0))

    async def queue(request: Request) -> Response:
        await feed.next(0)
        return _json(feed.frame("queue", request.path_params["id"], 0.0))

    async def items(request: Request) -> Response:
        most = request.query_params.get("n", "20")
        if not most.isdecimal() or not 1 <= int(most) <= 1000:
            return _problem(400, f"n is {most[:20]!r}; it must be a number from 1 to 1000")
        return await _done(lambda: actions.peek(request.path_params["id"], int(most)))

    def acting(act: Callable[[str, dict[str, Any]], Any]) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            body = b""
            async for part in request.stream():
                body += part
                if len(body) > _LARGEST_BODY:
                    return _problem(413, f"the request has more than {_LARGEST_BODY} bytes")
            try:
                asked = _object(body)
            except ValueError:
                return _problem(400, "the request must be a JSON object")
            return await _done(lambda: act(request.path_params["id"], asked))

        return answer

    routes = [
        Route("/", index),
        Route("/healthz", healthz),
        Route("/metrics", metrics),
        Route("/events", Events(feed)),
        Route("/api/schema", described),
        Route("/api/queues/{id}", queue),
        Route("/api/queues/{id}/items", items),
        Route("/api/{view}", view),
        *(Route(f"/static/{file.name}", _file(file)) for file in _STATIC.iterdir() if file.suffix in _TYPES),
    ]
    if not settings.read_only:
        routes += [
            Route("/api/queues/{id}/purge", acting(actions.purge), methods=["POST"]),
            Route("/api/queues/{id}/move", acting(actions.move), methods=["POST"]),
            Route("/api/queues/{id}/retry", acting(actions.retry), methods=["POST"]),
        ]
    return routes


async def _done(act: Callable[[], Any]) -> Response:
    """In a thread of its own: a broker may take its time."""
    try:
        return _json(as_json(await asyncio.to_thread(act)))
    except LookupError as error:
        return _problem(404, str(error.args[0]) if error.args else "there is no such queue")
    except PermissionError as error:
        return _problem(403, str(error))
    except (ConveyorError, OSError, ValueError, ImportError) as error:
        return _problem(409, f"{type(error).__name__}: {error}")


def _object(body: bytes) -> dict[str, Any]:
    found: Any = json.loads(body or b"{}")
    if not isinstance(found, dict):
        raise ValueError("it is none")
    return cast("dict[str, Any]", found)


def _json(data: bytes | None) -> Response:
    if data is None:
        return _problem(404, "there is no such queue (any more)")
    return Response(data, media_type="application/json", headers={"cache-control": "no-store"})


def _problem(status: int, text: str) -> Response:
    return JSONResponse({"error": text}, status)


def _file(path: Path) -> Callable[[Request], Awaitable[Response]]:
    data, kind = path.read_bytes(), _TYPES[path.suffix]

    async def answer(request: Request) -> Response:
        return Response(data, headers={"content-type": kind, "cache-control": "no-cache"})

    return answer


def _page(settings: Settings) -> str:
    text = (_STATIC / "index.html").read_text()
    words = {"csrf": settings.csrf, "read-only": str(settings.read_only).lower()}
    for name, value in words.items():
        text = text.replace(f"{{{{{name}}}}}", escape(value, quote=True))
    return text
