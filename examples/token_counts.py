"""Counts the tokens of a Python file: `find . -name '*.py' | conveyor map examples/token_counts.py:count`."""

from __future__ import annotations

import tokenize
from collections import Counter
from pathlib import Path
from token import tok_name


def count(path: str) -> dict[str, int]:
    """How many tokens of each type the file has, as in `{"NAME": 120, "OP": 88, …}`.

    Raises:
        SyntaxError, tokenize.TokenError, UnicodeDecodeError: the file is no Python that this Python can
            read; the message is `tokenize`'s own.
        OSError: it cannot be read.
    """
    with Path(path).open("rb") as file:
        types = Counter(token.type for token in tokenize.tokenize(file.readline))
    return {tok_name[number]: times for number, times in sorted(types.items())}
