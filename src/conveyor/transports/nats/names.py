"""What streams and subjects are called."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

__all__ = ["BUCKET", "GROUP", "Names", "filter_of", "group_names", "key_of", "subject_of"]

BUCKET = "KV_conveyor"
"""The stream of the bucket that has the control records."""

_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
_LONGEST = 180  # of a stream's name a server makes a folder's
# A key is closed by a token of its own, so that "a.#" is one pattern of NATS's: it means "a" as well as "a.b".
_END = "="


class Names:
    """Those of one queue or topic."""

    def __init__(self, name: str) -> None:
        token = _token(name)
        if len(token) > _LONGEST:
            token = "==" + hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
        self.stream = f"conveyor_{token}"
        self.consumer = "conveyor"
        self.record = f"$KV.conveyor.{token}"
        self.put = f"conveyor.queue.{token}"
        """Where items are put until the end."""
        self.topic = f"conveyor.topic.{token}"
        """What the subjects of events begin with."""
        self.ended = f"conveyor.ended.{token}"
        """What the stream listens to after the end: nobody publishes there."""
        self.dead_stream = f"conveyor-dead_{token}"
        self.dead = f"conveyor.dead.{token}"
        self.readers_stream = f"conveyor-readers_{token}"
        self.readers = f"conveyor.readers.{token}"
        """With an id behind it: how far a subscription is."""
        self.bell = f"conveyor.bell.{token}"
        """With a word behind it: tells those who wait to look again."""


GROUP = "group_"
"""What the consumers of groups begin with."""


def group_names(topic: str, group: str) -> Names:
    """Those of a group of a topic."""
    names = Names(topic)
    token = _token(group)
    if len(token) > _LONGEST:
        token = "==" + hashlib.sha256(group.encode("utf-8", "surrogatepass")).hexdigest()
    names.consumer = f"{GROUP}{token}"
    digest = hashlib.sha256(f"{topic}\0{group}".encode("utf-8", "surrogatepass")).hexdigest()[:32]
    names.dead_stream = f"conveyor-dead_=={digest}"
    names.dead = f"conveyor.dead.=={digest}"
    return names


def _token(word: str) -> str:
    """A word as a token of a subject: one to one, and never empty."""
    if _PLAIN.fullmatch(word):
        return word
    # "=" is what no plain token has in it.
    return "=" + "".join(
        character if _PLAIN.fullmatch(character) else f"={character.encode('utf-8', 'surrogatepass').hex()}="
        for character in word
    )


def _untoken(token: str) -> str:
    if not token.startswith("="):
        return token
    return re.sub(
        "=([0-9a-f]+)=", lambda match: bytes.fromhex(match[1]).decode("utf-8", "surrogatepass"), token[1:]
    )


def subject_of(base: str, key: str | None) -> str:
    """The subject of an event with that key."""
    words = key.split(".") if key else []
    return ".".join([base, *map(_token, words), _END])


def key_of(base: str, subject: str) -> str | None:
    """The key of the event with that subject."""
    words = subject[len(base) + 1 :].split(".")[:-1]
    return ".".join(map(_untoken, words)) if words else None


def filter_of(base: str, patterns: Sequence[str]) -> str:
    """A subject of NATS's for all events that fit the patterns, and perhaps for others."""
    if len(patterns) != 1:
        return f"{base}.>"  # several at a time came with 2.10, and may not overlap
    tokens: list[str] = []
    for word in patterns[0].split(".") if patterns[0] else []:
        if word == "#":
            return ".".join([base, *tokens, ">"])
        tokens.append("*" if word == "*" else _token(word))
    return ".".join([base, *tokens, _END])
