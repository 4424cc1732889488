"""What `conveyor map` prints, and in which order."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

Function = Callable[[str], str]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_results_come_in_input_order(run: Any, function: Function, numbers: Any, method: str) -> None:
    done = run("map", "-j3", "--start-method", method, function("same"), stdin=numbers(20_000))
    assert done.code == 0, done.err
    assert done.out == numbers(20_000)
    assert done.err == ""


def test_a_slow_item_holds_back_those_behind_it(
    start: Any, function: Function, gate: Any, read_until: Any
) -> None:
    running = start("map", "-j2", function("gate"))
    running.send("wait\n" + "".join(f"{n}\n" for n in range(200)))
    gate.wait_begun(1)
    running.end_input()
    gate.open()
    assert running.finish().lines == ["wait", *map(str, range(200))]


def test_unordered_prints_as_they_come(start: Any, function: Function, gate: Any, read_until: Any) -> None:
    running = start("map", "-j2", "--unordered", function("gate"))
    others = [str(n) for n in range(200)]
    running.send("\n".join([*others[:100], "wait", *others[100:]]) + "\n")
    # All the others, those that were handed to the same worker behind it too, while it waits.
    early = read_until(running.out, lambda data: data.count(b"\n") == 200)
    assert sorted(early.decode().split(), key=int) == others
    gate.open()
    assert running.finish().out == "wait\n"


def test_a_lone_item_is_answered_at_once(start: Any, function: Function, read_until: Any) -> None:
    running = start("map", "-j2", function("up"))
    for word in ("one", "two", "three"):
        running.send(f"{word}\n")
        assert read_until(running.out, lambda data: data.endswith(b"\n")) == f"{word.upper()}\n".encode()
    assert running.finish().code == 0


def test_nothing_is_lost_or_doubled(run: Any, function: Function, numbers: Any) -> None:
    done = run("map", "-j4", "--unordered", function("same"), stdin=numbers(100_000))
    assert sorted(done.lines, key=int) == numbers(100_000).split()


def test_no_items(run: Any, function: Function) -> None:
    done = run("map", function("same"))
    assert (done.code, done.out, done.err) == (0, "", "")


class TestText:
    @pytest.mark.parametrize(
        ("name", "item", "printed"),
        [
            ("same", "a\n", "a\n"),
            ("same", "without newline", "without newline\n"),
            ("same", "\n\n", "\n\n"),
            ("same", "tab\tand \r carriage\n", "tab\tand \r carriage\n"),
            ("nothing", "a\n", ""),
            ("even_only", "1\n2\n3\n4\n", "2\n4\n"),
            ("number", "07\n", "7\n"),
            ("as_dict", "ä\n", '{"item":"ä"}\n'),
            ("Holder.method", "x\n", "held x\n"),
        ],
    )
    def test_form(self, run: Any, function: Function, name: str, item: str, printed: str) -> None:
        done = run("map", "-j1", function(name), stdin=item)
        assert (done.code, done.out) == (0, printed)

    def test_bytes_that_are_no_text_pass_unharmed(self, run: Any, function: Function) -> None:
        done = run("map", "-j1", function("same"), stdin=b"caf\xe9.txt\n")
        assert done.out.encode(errors="surrogateescape") == b"caf\xe9.txt\n"

    def test_long_lines(self, run: Any, function: Function) -> None:
        lines = [letter * 3_000_000 for letter in "abcdefgh"]
        assert run("map", "-j2", function("up"), stdin="\n".join(lines)).lines == [
            line.upper() for line in lines
        ]

    def test_a_result_that_is_no_text(self, run: Any, function: Function) -> None:
        done = run("map", "-j1", function("unwritable"), stdin="a\n")
        assert done.code == 1
        assert "cannot be written as JSON" in done.err
        assert "set" in done.err


class TestJsonLines:
    def test_values_of_every_kind(self, run: Any, function: Function) -> None:
        values = [1, "ä\n", None, True, 2.5, [1, [2]], {"a": {"b": []}}]
        done = run("map", "--jsonl", function("same"), stdin="".join(json.dumps(v) + "\n" for v in values))
        assert done.code == 0, done.err
        assert [json.loads(line) for line in done.lines] == values

    def test_blank_lines_are_skipped(self, run: Any, function: Function) -> None:
        done = run("map", "--jsonl", function("same"), stdin="1\n\n  \n2\n")
        assert (done.code, done.out) == (0, "1\n2\n")

    def test_a_line_that_is_not_json_fails_alone(self, run: Any, function: Function) -> None:
        done = run("map", "--jsonl", function("same"), stdin='1\n{"a":\n2\n')
        assert (done.code, done.out) == (1, "1\n2\n")
        assert "item 2 '{\"a\":'" in done.err
        assert "the line is not JSON" in done.err

    def test_a_lone_surrogate_is_escaped(self, run: Any, function: Function) -> None:
        assert run("map", "--jsonl", function("same"), stdin='"\\ud800"\n').out == '"\\ud800"\n'


class TestTheWorkersStreams:
    def test_what_the_function_prints_does_not_mix_with_results(self, run: Any, function: Function) -> None:
        done = run("map", "-j1", function("say"), stdin="a\n")
        assert (done.out, done.err) == ("returned a\n", "printed a\n")

    def test_the_function_cannot_eat_the_input(self, run: Any, function: Function) -> None:
        assert run("map", "-j1", function("read_input"), stdin="a\nb\n").lines == ["''b''", "''b''"]
