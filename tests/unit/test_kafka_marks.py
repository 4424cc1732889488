"""What stands in the metadata of a commit: see `transports.kafka.marks`. No server is needed, and no client."""

from __future__ import annotations

import importlib.util
import random
import string
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import conveyor.transports

HERE = Path(conveyor.transports.__file__).parent / "kafka" / "marks.py"


def load() -> Any:
    """The module without its package, which imports the client."""
    spec = importlib.util.spec_from_file_location("kafka_marks", HERE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


marks = load()


@given(
    st.integers(0, 2**50),
    st.dictionaries(st.integers(0, 3999), st.sampled_from("." + "+" + string.ascii_letters[:26] + "BCYZ")),
)
def test_what_is_written_is_read(low: int, letters: dict[int, str]) -> None:
    settled = {low + offset for offset, letter in letters.items() if letter == "+"}
    leased = {low + offset: ord(letter) - 97 for offset, letter in letters.items() if letter.islower()}
    returned = {low + offset: ord(letter) - 65 for offset, letter in letters.items() if letter.isupper()}
    text = marks.Marks(settled, leased, returned).dump("0f0f0f0f", low)
    found = marks.Marks.load(text, "0f0f0f0f", low)
    assert found == (settled, leased, returned)
    assert marks.Marks.load(text, "another", low) is None
    assert found.counts(low, low + 4000) == (4000 - len(settled) - len(leased), len(leased))


@pytest.mark.parametrize("text", ["", "no colon", "other:+++"])
def test_what_is_of_nobody_or_of_another_queue_is_not_read(text: str) -> None:
    assert marks.Marks.load(text, "mark", 5) is None


def test_the_longest_fits_into_the_metadata_of_a_commit() -> None:
    chance = random.Random(1)
    kinds = ["settled", "leased", "returned"]
    found: dict[str, Any] = {"settled": set(), "leased": {}, "returned": {}}
    for offset in range(marks.MOST_AHEAD):
        kind = chance.choice(kinds)
        if kind == "settled":
            found[kind].add(offset)
        else:
            found[kind][offset] = chance.randrange(1, marks.MOST_COUNTED)
    assert len(marks.Marks(**found).dump("0f0f0f0f", 0)) <= 4096
