"""What a field of a statistics class counts, if it is no plain number: the command shows it so."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["BYTES", "SECONDS"]

BYTES: Mapping[str, str] = MappingProxyType({"unit": "bytes"})
SECONDS: Mapping[str, str] = MappingProxyType({"unit": "seconds"})
