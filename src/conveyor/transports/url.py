"""URLs of queues and topics: read in one place, checked, and never shown with their secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, unquote, urlsplit

__all__ = [
    "COMMON",
    "KINDS",
    "NAME_RULE",
    "Option",
    "Shape",
    "Url",
    "is_name",
    "masked",
    "parse",
    "with_options",
]

KINDS = ("queue", "topic", "group")

NAME_RULE = "1 to 200 bytes, all printable"
"""What names of queues, topics and groups must have."""

_SECRET_KEY = re.compile(r"(?i)((?:pass|secret|token|key|credential)[^=&]*=)[^&#]*")
_NUMBERS: dict[str, type] = {"int": int, "float": float}
_WORDS = {
    "true": True,
    "1": True,
    "yes": True,
    "on": True,
    "false": False,
    "0": False,
    "no": False,
    "off": False,
}


def is_name(text: str) -> bool:
    """Whether a queue, a topic or a group may be called so: see `NAME_RULE`."""
    return 1 <= len(text.encode("utf-8", "surrogatepass")) <= 200 and text.isprintable()


def masked(url: str) -> str:
    """The URL as it may be shown: with `***` for whatever could be a secret in it, however malformed it is."""
    start, mark, rest = url.partition("://")
    before, at, after = rest.rpartition("@")
    if mark and at:
        user, colon, _ = before.partition(":")
        rest = f"{user}:***@{after}" if colon else f"***@{after}"
    return _SECRET_KEY.sub(r"\1***", f"{start}{mark}{rest}")


def with_options(url: str, **options: str) -> str:
    """The URL with these options behind '?', in the place of what it says of them."""
    start, _, query = url.partition("?")
    pairs = [pair for pair in query.split("&") if pair and pair.partition("=")[0] not in options]
    pairs += [f"{key}={quote(value, safe='')}" for key, value in options.items()]
    return f"{start}?{'&'.join(pairs)}"


@dataclass(frozen=True, slots=True)
class Option:
    """What may stand behind `?` as `key=value`."""

    kind: str
    """"str", "name", "int", "float" (seconds, mostly), "bool", or words with `|` between: one of them."""
    default: Any = None
    least: float | None = None
    """The smallest number that will do."""

    def read(self, key: str, text: str, shown: str) -> Any:
        """The value that the text stands for.

        Raises:
            ValueError: it stands for none; the error names the key and what would be right.
        """
        if self.kind == "str" or (self.kind == "name" and is_name(text)):
            return text
        if self.kind == "name":
            raise ValueError(f"url is {shown!r}; {key} must have {NAME_RULE}")
        if self.kind == "bool":
            if text.lower() in _WORDS:
                return _WORDS[text.lower()]
            right = "true or false"
        elif self.kind in _NUMBERS:
            try:
                number = _NUMBERS[self.kind](text)
            except ValueError:
                number = None
            if number is not None and number == number and (self.least is None or number >= self.least):
                return number
            right = f"{'an integer' if self.kind == 'int' else 'a number'}" + (
                "" if self.least is None else f", at least {self.least}"
            )
        else:
            words = self.kind.split("|")
            if text in words:
                return text
            right = " or ".join(words)
        raise ValueError(f"url is {shown!r}; {key}={text[:50]} must be {right}")


COMMON: Mapping[str, Option] = MappingProxyType(
    {
        "kind": Option("queue|topic|group"),
        # Of kind=group: its name. On Kafka a queue has one as well.
        "group": Option("name"),
        # Seconds for connecting; and for healing a lost connection in a call that has no timeout of its own.
        "connect_timeout": Option("float", 10.0, 0.001),
        "reconnect_timeout": Option("float", 60.0, 0.0),
    }
)
"""What the URL of every transport but shm:// may have."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How the URLs of a transport look."""

    example: str
    hosts: bool = True
    """`user:password@host:port,...` after `//`. Without: a bare name, or with `file` nothing."""
    path: bool = False
    """Whether segments may stand before the name: a virtual host, a database."""
    file: bool = False
    """The path is a file's, by SQLAlchemy's rule: three slashes for a relative one, four for an absolute one."""
    options: Mapping[str, Option] = field(default_factory=dict[str, Option])


@dataclass(frozen=True, slots=True)
class Url:
    """Where a queue or topic is. Its repr and str have `***` for the password."""

    scheme: str
    hosts: tuple[tuple[str, int | None], ...]
    """Each as (name or address, port; None: the usual one)."""
    user: str
    password: str
    path: str
    """What stands between host and name, decoded; of a file its path."""
    name: str
    options: Mapping[str, Any]
    """Those of `COMMON` and of the transport, with defaults where the URL does not say them."""
    text: str
    """The URL as it was given, with all its secrets: for pickles and for clients alone."""

    def __str__(self) -> str:
        return masked(self.text)

    def __repr__(self) -> str:
        return f"<Url {masked(self.text)}>"


def parse(url: str, shape: Shape) -> Url:
    """The parts of `url`.

    Raises:
        ValueError: it is no URL of this shape; the text says what would be one, and shows no secret.
    """
    shown = masked(url)
    if any(character in url for character in "\t\r\n"):  # urlsplit would drop them in silence
        raise ValueError(f"url is {shown!r}; it must have no tab and no line end")
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = None  # its text may have a piece of the password in it
    if parts is None or parts.fragment or "://" not in url:
        raise ValueError(f"url is {shown!r}; it must be as in {shape.example!r}, without '#'")
    options = _options(parts.query, shape, shown)
    hosts: tuple[tuple[str, int | None], ...] = ()
    user = password = ""
    if shape.file:
        if parts.netloc or len(parts.path) < 2:
            raise ValueError(
                f"url is {shown!r}; it must be as in {shape.example!r}: three slashes before a relative path, "
                "four before an absolute one"
            )
        path = unquote(parts.path[1:])
        name = options.pop("queue", None) or path.rpartition("/")[2].partition(".")[0]
    elif shape.hosts:
        login, at, places = parts.netloc.rpartition("@")
        user, _, password = login.partition(":") if at else ("", "", "")
        hosts = tuple(_host(place, shape, shown) for place in places.split(","))
        segments = parts.path.split("/")[1:]
        name = unquote(segments[-1]) if segments else ""
        path = "/".join(map(unquote, segments[:-1]))
        if segments[:-1] and not shape.path:
            raise ValueError(
                f"url is {shown!r}; only the name may stand after the host, as in {shape.example!r}"
            )
    else:
        path, name = "", unquote(parts.netloc + parts.path)
    if not name:
        raise ValueError(f"url is {shown!r}; it has no name, as in {shape.example!r}")
    if not is_name(name):
        raise ValueError(f"url is {shown!r}; the name must have {NAME_RULE}")
    return Url(
        parts.scheme, hosts, unquote(user), unquote(password), path, name, MappingProxyType(options), url
    )


def _host(place: str, shape: Shape, shown: str) -> tuple[str, int | None]:
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.%]+\]|[^\[\]:@/\s]+)(?::(\d{1,5}))?", place)
    if match is None or int(match[2] or 1) > 65535 or int(match[2] or 1) == 0:
        raise ValueError(
            f"url is {shown!r}; a host must be as in 'host', 'host:1234' or '[::1]:1234', several with ',' between, "
            f"and '@', ':' and '/' in a user or password as %40, %3A and %2F; as in {shape.example!r}"
        )
    return unquote(match[1].strip("[]")), int(match[2]) if match[2] else None


def _options(query: str, shape: Shape, shown: str) -> dict[str, Any]:
    known = {**COMMON, **shape.options}
    options: dict[str, Any] = {key: option.default for key, option in known.items()}
    given: set[str] = set()
    for pair in query.split("&") if query else ():
        key, equals, value = pair.partition("=")
        key, value = unquote(key), unquote(value)
        if key not in known:
            # What is no word may be the rest of a password with a '?' in it.
            named = repr(key) if re.fullmatch(r"[A-Za-z0-9_]{1,40}", key) else "of that name"
            raise ValueError(
                f"url is {shown!r}; it has no option {named}: behind '?' may stand {', '.join(sorted(known))} "
                "('?' in a password is %3F)"
            )
        if not equals or key in given:
            raise ValueError(f"url is {shown!r}; {key} must stand there once, as {key}=value")
        given.add(key)
        options[key] = known[key].read(key, value, shown)
    return options
