"""The payload set of the codec's bar: plain data as programs send it, one specimen of each kind.

Made at run time, so that strings and numbers are objects of their own, as they are when a program
has just read or computed them; only what would be a literal in a program (a key) is one here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conveyor.bench.payloads import PAYLOADS

__all__ = ["CODEC_ITEMS"]


def _document() -> dict[str, Any]:
    """Nested, as the answer of a web service."""
    return {
        "id": 48_213,
        "status": "shipped",
        "customer": {"id": 90_210, "name": "Ada Example", "mail": f"ada{7}@example.org", "vip": True},
        "lines": [
            {
                "sku": f"AB-{number:05}",
                "count": number + 1,
                "price": 9.99 + number,
                "gift": number % 2 == 0,
                "note": None,
            }
            for number in range(5)
        ],
        "address": {"street": f"Long Lane {12}", "city": "Springfield", "position": [52.52, 13.405]},
        "tags": [f"tag{number}" for number in range(4)],
    }


CODEC_ITEMS: dict[str, Callable[[], Any]] = {
    "int": lambda: PAYLOADS["int"].make(1_000_003),
    "float": lambda: 1_000_003 / 7,
    "small tuple": lambda: PAYLOADS["tuple"].make(1_000_003),
    "40-byte bytes": lambda: PAYLOADS["bytes40"].make(1_000_003),
    "40-char str": lambda: f"{'a text of forty characters, made just now':.40}",
    "log record": lambda: PAYLOADS["log"].make(1_000_003),
    "1 KiB dict": lambda: PAYLOADS["dict1k"].make(1_000_003),
    "100 ints": lambda: [number * 7919 for number in range(100)],
    "100 floats": lambda: [number / 7 for number in range(100)],
    "50 short strs": lambda: [f"item-{number:03}" for number in range(50)],
    "dict of 10 ints": lambda: {f"key{number}": number * 1001 for number in range(10)},
    "pairs (int, str)": lambda: [(number, f"name{number}") for number in range(20)],
    "nested document": _document,
}
"""Title -> maker."""
