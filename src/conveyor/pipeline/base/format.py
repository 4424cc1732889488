"""Figures as people read them."""

from __future__ import annotations

__all__ = ["duration", "many", "short", "size"]


def duration(seconds: float, digits: int = 3) -> str:
    """A short time span: `850 ns`, `12 µs`, `3.4 ms`, `2.1 s`, `3 min 20 s`.

    Args:
        seconds: how long.
        digits: that mean something.
    """
    if seconds <= 0:
        return "0"
    if seconds < 1e-6:
        return f"{seconds * 1e9:.0f} ns"
    for unit, word in ((1e-6, "µs"), (1e-3, "ms"), (1.0, "s")):
        value = seconds / unit
        if float(f"{value:.{digits}g}") < (100 if word == "s" else 1000):
            whole = value >= 10 ** (digits - 1)
            return f"{value:.0f} {word}" if whole else f"{value:.{digits}g} {word}"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def short(item: object, most: int = 200, quoted: bool = True) -> str:
    """An item as a line of text may show it: on one line, and cut if it is long.

    Args:
        item: anything; its `repr` is shown, and may raise.
        most: characters.
        quoted: False: it is a str, and shown as it is.
    """
    if quoted:
        try:
            text = repr(item)
        except Exception:
            text = f"a {type(item).__name__} whose repr raises"
    else:
        text = str(item)
    text = "".join(letter if letter.isprintable() else "�" for letter in text[: most + 1].replace("\n", " "))
    return text if len(text) <= most else f"{text[: most - 1]}…"


def size(count: float) -> str:
    """Bytes: `3.2 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def many(count: int, word: str) -> str:
    """`1 item`, `2,000 items`."""
    plural = f"{word[:-1]}ies" if word.endswith("y") else f"{word}es" if word.endswith("s") else f"{word}s"
    return f"{count:,} {word if count == 1 else plural}"
