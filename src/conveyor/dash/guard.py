"""Guard: what stands before every request, so that no other page, site or user gets in."""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from hashlib import sha256
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, quote

from .settings import Settings

__all__ = ["CSRF_HEADER", "Guard"]

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]
_App = Callable[[_Message, _Receive, _Send], Awaitable[None]]

CSRF_HEADER = "x-conveyor-token"
_SAFE = ("GET", "HEAD", "OPTIONS")
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
_OPEN = ("/healthz",)


class Guard:
    """An ASGI application before another one.

    - The Host header must name what the server is bound to: a name of another site that was made to point here
      (DNS rebinding) is answered with 421.
    - A token, where there is one, must come in the query, in a cookie, or as a bearer's: else 401.
    - What changes something needs the page's own header, and the Origin of the page where a browser sends one: else
      403. A page of another site cannot read the one, nor send the other.

    Args:
        app: what is guarded.
        settings: of the dashboard.
    """

    def __init__(self, app: _App, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._names = _names(settings)
        # Cookies are shared by all ports of a host: each dashboard has one of its own.
        self._cookie = f"conveyor_{sha256(settings.token.encode()).hexdigest()[:12]}"
        self._headers = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        """Answer the request, or have it answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}

        async def send_with_headers(message: _Message) -> None:
            if message["type"] == "http.response.start":
                given = {name for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *(pair for pair in self._headers if pair[0] not in given),
                ]
            await send(message)

        if (refusal := self._refusal(scope, headers)) is not None:
            status, text, more = refusal
            body = f"{text}\n".encode()
            lines = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store"), *more]
            lines.append((b"content-length", str(len(body)).encode()))
            await send_with_headers({"type": "http.response.start", "status": status, "headers": lines})
            await send({"type": "http.response.body", "body": body})
            return
        await self._app(scope, receive, send_with_headers)

    def _refusal(
        self, scope: _Message, headers: dict[str, str]
    ) -> tuple[int, str, list[tuple[bytes, bytes]]] | None:
        host = headers.get("host", "")
        if not self._is_ours(host):
            return 421, "this is not the host that the dashboard is bound to", []
        method, path = scope["method"], scope["path"]
        if self._settings.token and path not in _OPEN:
            asked = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
            if asked and method == "GET" and path == "/" and self._is_token(asked):
                # Into a cookie, and out of the address, which is shown, kept and copied.
                cookie = f"{self._cookie}={quote(asked)}; Path=/; HttpOnly; SameSite=Strict"
                return 303, "", [(b"location", b"/"), (b"set-cookie", cookie.encode())]
            if not any(map(self._is_token, (asked, self._in_cookie(headers), _bearer(headers)))):
                text = "a token is needed: open the URL that `conveyor dash` has printed, or send it as a bearer's"
                return 401, text, [(b"www-authenticate", b"Bearer")]
        if method not in _SAFE:
            if not _same(headers.get(CSRF_HEADER, ""), self._settings.csrf):
                return 403, f"the header {CSRF_HEADER} is not that of the page", []
            origin = headers.get("origin")
            if origin is not None and origin.partition("://")[2].lower() != host.lower():
                return 403, "the Origin is another site", []
            if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
                return 403, "the request comes from another site", []
        return None

    def _is_ours(self, host: str) -> bool:
        name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
        name = name.strip("[]").rstrip(".").lower()
        if name in self._names:
            return True
        if self._settings.is_loopback:
            return False
        try:
            ipaddress.ip_address(name)  # no name, so nobody's but the network's
        except ValueError:
            return False
        return True

    def _is_token(self, text: str) -> bool:
        return _same(text, self._settings.token)

    def _in_cookie(self, headers: dict[str, str]) -> str:
        try:
            morsel = SimpleCookie(headers.get("cookie", "")).get(self._cookie)
        except CookieError:
            return ""
        return morsel.value if morsel is not None else ""


def _names(settings: Settings) -> frozenset[str]:
    own = settings.host.strip("[]").lower()
    if settings.is_loopback:
        return frozenset({"localhost", "127.0.0.1", "::1", own})
    return frozenset({"localhost", own, socket.gethostname().lower(), socket.getfqdn().lower()})


def _bearer(headers: dict[str, str]) -> str:
    kind, _, text = headers.get("authorization", "").partition(" ")
    return text.strip() if kind.lower() == "bearer" else ""


def _same(given: str, right: str) -> bool:
    """In a time that does not tell how much of it is right."""
    return bool(right) and hmac.compare_digest(given.encode("utf-8", "replace"), right.encode())
