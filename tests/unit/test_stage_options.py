"""The options of a stage: said once, checked wherever they may be given, and shown by `help`."""

from __future__ import annotations

import dataclasses
import inspect
import typing

import pytest

from conveyor import Pipeline, PipelineError
from conveyor.pipeline.graph.stage_options import StageKeywords, StageOptions

METHODS = [Pipeline.map, Pipeline.filter, Pipeline.flat_map]
FIELDS = {field.name: field for field in dataclasses.fields(StageOptions)}


def test_a_type_checker_knows_the_options_that_there_are() -> None:
    hints = typing.get_type_hints(StageKeywords)
    assert hints == {word: typing.get_type_hints(StageOptions)[word] for word in FIELDS}


@pytest.mark.parametrize("method", METHODS)
def test_a_method_shows_every_option_with_its_default(method: typing.Any) -> None:
    shown = inspect.signature(method).parameters
    options = {word: one.default for word, one in shown.items() if one.kind is one.KEYWORD_ONLY}
    assert {word: options[word] for word in FIELDS} == {word: field.default for word, field in FIELDS.items()}


def test_map_says_what_every_option_means() -> None:
    text = inspect.getdoc(Pipeline.map) or ""
    said = {
        word.strip() for line in text.splitlines() if ": " in line for word in line.split(":")[0].split(",")
    }
    assert set(FIELDS) <= said


@pytest.mark.parametrize("word", ["map", "filter", "flat_map"])
def test_a_word_that_is_no_option_is_named(word: str) -> None:
    with pytest.raises(TypeError, match=rf"{word}\(\) got an unexpected keyword argument 'worker'"):
        getattr(Pipeline([1]), word)(str, worker=2)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"retries": None}, "retries of 'str' is None; it must be an integer"),
        ({"retries": False}, "retries of 'str' is False; it must be an integer"),
        ({"timeout": 0}, "timeout of 'str' is 0; it must be"),
        ({"backoff": -1}, "backoff of 'str' is -1; it must be 0 or above 0"),
        ({"workers": 0}, "workers of 'str' is 0; it must be at least 1"),
        ({"on_error": "ignore"}, "on_error of 'str' is 'ignore'; it must be"),
        ({"key": 3}, r"key\(\) got 3, a int; it takes a function"),
    ],
)
def test_an_option_that_is_not_right_is_named_with_its_value(options: dict[str, object], error: str) -> None:
    with pytest.raises((TypeError, PipelineError), match=error):
        Pipeline([1]).map(str, **options)  # type: ignore[arg-type]
