"""Keys: what comes from a terminal, as the names of the keys that were pressed."""

from __future__ import annotations

import codecs

__all__ = ["Keys"]

_NAMES = {
    "[A": "up", "OA": "up", "[B": "down", "OB": "down", "[C": "right", "OC": "right", "[D": "left", "OD": "left",
    "[H": "home", "OH": "home", "[1~": "home", "[7~": "home",
    "[F": "end", "OF": "end", "[4~": "end", "[8~": "end",
    "[5~": "page up", "[6~": "page down", "[Z": "back tab",
    "OP": "F1", "[11~": "F1", "[[A": "F1", "OR": "F3", "[13~": "F3", "[[C": "F3", "OS": "F4", "[14~": "F4", "[[D": "F4",
    "[17~": "F6", "[21~": "F10",
}  # fmt: skip
_CONTROL = {"\r": "enter", "\n": "enter", "\t": "tab", "\x7f": "backspace", "\x08": "backspace", "\x0c": "redraw",
            "\x02": "page up", "\x06": "page down"}  # fmt: skip
_ESCAPE = "\x1b"


class Keys:
    """A key may come in pieces. One that stays alone is Escape: who reads says when nothing more has come."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("ignore")
        self._text = ""

    @property
    def is_in_the_middle(self) -> bool:
        """What has come may be the beginning of a key."""
        return bool(self._text)

    def feed(self, data: bytes) -> list[str]:
        """The keys that are whole now: characters as they are, others by name."""
        self._text += self._decoder.decode(data)
        found: list[str] = []
        while self._text:
            key, length = self._first(self._text)
            if not length:
                break
            self._text = self._text[length:]
            if key:
                found.append(key)
        return found

    def nothing_more(self) -> list[str]:
        """Nothing has come for a moment: what stands there is the Escape key, and what was typed after it."""
        text, self._text = self._text, ""
        return ["escape", *text[1:]] if text else []

    @staticmethod
    def _first(text: str) -> tuple[str, int]:
        """The first key, and how many characters it takes; 0: more must come."""
        if text[0] != _ESCAPE:
            return _CONTROL.get(text[0], text[0] if text[0].isprintable() else ""), 1
        rest = text[1:]
        for sequence, name in _NAMES.items():
            if rest.startswith(sequence):
                return name, 1 + len(sequence)
        if not rest:
            return "", 0
        if rest[0] == _ESCAPE:
            return "escape", 1
        if rest[0] not in "[O":
            return "", 2  # Alt and a character: nothing here
        # A sequence that is not known ends in a letter or a tilde.
        for place, character in enumerate(rest[1:], 2):
            if "@" <= character <= "~" and not (place == 2 and character == "["):
                return "", place + 1
        return "", 0
