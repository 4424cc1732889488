"""What the codec `plain` says of an item that it cannot carry: what is in the way, where, and who could."""

from __future__ import annotations

from typing import Any, NoReturn

__all__ = ["refuse"]

_WHY = {
    "type": "which is no plain data",
    "value": "whose content the type's own constructor would not make",
    "too_deep": "which is nested deeper than 256 levels",
    "too_large": "which has more than 2,147,483,647 bytes or elements",
    "inside_itself": "which contains itself",
}
_RIGHT = (
    "plain data is None, bool, int, float, complex, str, bytes, bytearray, tuple, list, dict, set, frozenset, date, "
    "time, datetime (with timezone or ZoneInfo), timedelta, Decimal, UUID, and NumPy arrays and scalars without "
    "objects, all of exactly these types"
)
_LONGEST_NAME = 40
_LONGEST_PATH = 8


def refuse(item: Any, obstacle: Any, why: str) -> NoReturn:
    """Raise the error.

    Args:
        item: what was to be carried.
        obstacle: what in it cannot be.
        why: a word of _WHY, or an explanation that fits behind a type's name.

    Raises:
        TypeError: it is of a type that is not carried. ValueError: of one that is.
    """
    text = (
        f"codec 'plain' cannot carry {_place(item, obstacle)}, of type {_name_of(obstacle)}, "
        f"{_WHY.get(why, why)}; {_RIGHT}; {_others(obstacle)}"
    )
    raise (TypeError if why not in _WHY or why == "type" else ValueError)(text)


def _name_of(value: object) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _key(key: Any) -> str:
    """A dict's key in a path. No code of the user's runs."""
    if type(key) not in (str, bytes, int, float, bool, type(None)):
        return f"<{_name_of(key)}>"
    try:
        text = repr(key)
    except ValueError:  # an int of more digits than Python writes
        return "<int>"
    return text if len(text) <= _LONGEST_NAME else f"{text[:_LONGEST_NAME]}..."


def _place(item: Any, obstacle: Any) -> str:
    """Where it is, as `item[2]['when']`."""
    if item is obstacle:
        return "the item"
    # (object, its path as a chain of (step, path before), sentence for what stands at no index)
    stack: list[tuple[Any, Any]] = [(item, None)]
    seen: set[int] = set()
    while stack:
        at, path = stack.pop()
        for step, inner in _inside(at):
            if inner is obstacle:
                return _written(step, path)
            if _is(inner, tuple, list, dict, set, frozenset) and id(inner) not in seen:
                seen.add(id(inner))
                stack.append((inner, (step, path)))
    return "a part of the item"


def _is(value: object, *kinds: type[Any]) -> bool:
    return type(value) in kinds


def _inside(at: Any) -> list[tuple[str, Any]]:
    if _is(at, dict):
        pairs: list[tuple[Any, Any]] = list(at.items())
        keys = [("a key of {}", key) for key, _ in pairs]
        return keys + [(f"{{}}[{_key(key)}]", value) for key, value in pairs] + _zones(at)
    if _is(at, set, frozenset):
        return [("an element of {}", each) for each in at] + _zones(at)
    if _is(at, tuple, list):
        return [(f"{{}}[{index}]", each) for index, each in enumerate(at)] + _zones(at)
    return _zones([at])


def _zones(values: Any) -> list[tuple[str, Any]]:
    if _is(values, dict):
        values = [*values, *values.values()]
    zones = [getattr(value, "tzinfo", None) for value in values if type(value).__module__ == "datetime"]
    return [("the time zone of a value in {}", zone) for zone in zones if zone is not None]


def _written(step: str, path: Any) -> str:
    steps = [step]
    while path is not None:
        steps.append(path[0])
        path = path[1]
    steps.reverse()
    if len(steps) > _LONGEST_PATH:
        steps = [*steps[: _LONGEST_PATH // 2], "{}...", *steps[-_LONGEST_PATH // 2 :]]
    text = "item"
    for each in steps:
        text = each.replace("{}", text, 1)
    return text


def _others(obstacle: Any) -> str:
    """Which codecs could. They are asked: what can be pickled is known to nobody else."""
    import pickle

    from ._resolve import resolve

    able: list[str] = []
    try:
        pickle.dumps(obstacle, protocol=5)
        able.append("'pickle' with key=... (signed)")
    except Exception:  # whatever the object's own code raises
        pass
    for name in ("msgpack", "json"):
        try:
            codec = resolve(name)
            assert not isinstance(codec, str)
            codec.dumps(obstacle)
            able.append(f"{name!r} (as another type, see docs/codecs.md)")
        except Exception:  # not installed, or it cannot either
            pass
    return (
        f"codecs that could carry it: {', '.join(able)}" if able else "no codec of conveyor's could carry it"
    )
