"""A JSON schema of the rows, made of their annotations, so that the two cannot drift apart."""

from __future__ import annotations

import dataclasses
import types
import typing
from functools import cache
from typing import Any

from . import rows

__all__ = ["ANSWERS", "schema"]

ANSWERS: dict[str, Any] = {
    "/api/overview": rows.Overview,
    "/api/queues": list[rows.QueueRow],
    "/api/queues/{id}": rows.QueueDetail,
    "/api/topics": list[rows.TopicRow],
    "/api/pipelines": list[rows.PipelineRow],
    "/api/failures": list[rows.FailureRow],
    "/api/processes": list[rows.ProcessRow],
    "/api/brokers": list[rows.BrokerRow],
}
"""What each address under /api answers."""

_PLAIN: dict[Any, str] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    type(None): "null",
}


@cache
def schema() -> dict[str, Any]:
    """Draft 2020-12: `properties` has one for each address, `$defs` one for each kind of row."""
    kinds: dict[str, Any] = {}
    answers = {address: _of(kind, kinds) for address, kind in ANSWERS.items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What conveyor's dashboard answers, by address",
        "type": "object",
        "properties": answers,
        "$defs": dict(sorted(kinds.items())),
    }


def _of(kind: Any, kinds: dict[str, Any]) -> dict[str, Any]:
    if kind in _PLAIN:
        return {"type": _PLAIN[kind]}
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is list:
        return {"type": "array", "items": _of(arguments[0], kinds)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _of(arguments[1], kinds)}
    if origin in (types.UnionType, typing.Union):
        return {"type": [_of(each, kinds)["type"] for each in arguments]}
    if kind.__name__ not in kinds:
        kinds[kind.__name__] = {}  # it may contain itself
        hints = typing.get_type_hints(kind)
        names = [field.name for field in dataclasses.fields(kind)]
        kinds[kind.__name__] = {
            "description": (kind.__doc__ or "").strip(),
            "type": "object",
            "properties": {name: _of(hints[name], kinds) for name in names},
            "required": names,
            "additionalProperties": False,
        }
    return {"$ref": f"#/$defs/{kind.__name__}"}
