"""The command around its verbs: help, usage errors, environment variables, demo, info, rm, bench."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

import conveyor

Function = Callable[[str], str]
ROOT = Path(__file__).parents[2]


class TestHelp:
    def test_version(self, run: Any) -> None:
        assert run("--version").out == f"{conveyor.__version__}\n"

    @pytest.mark.parametrize("words", [[], ["--help"]])
    def test_opens_with_examples_and_names_the_verbs(self, run: Any, words: list[str]) -> None:
        done = run(*words)
        assert done.code == 0
        assert done.out.index("Examples:") < 60
        for verb in ("bench", "demo", "info", "map", "rm"):
            assert re.search(rf"^│ {verb} ", done.out, re.MULTILINE)

    @pytest.mark.parametrize("verb", ["map", "demo", "info", "rm"])
    def test_of_a_verb_opens_with_an_example(self, run: Any, verb: str) -> None:
        done = run(verb, "--help")
        assert done.code == 0
        assert "Example" in done.out[:80]

    def test_fits_a_terminal_of_80_columns(self, run: Any) -> None:
        for words in (["--help"], ["map", "--help"]):
            assert max(map(len, run(*words, env={"COLUMNS": "80"}).lines)) <= 80

    def test_installed_under_its_name(self) -> None:
        [script] = entry_points(group="console_scripts", name="conveyor")
        assert callable(script.load())

    def test_costs_little(self) -> None:
        """What a verb does not need is not imported."""
        program = "import sys; import conveyor.cli.app; print(*sys.modules)"
        loaded = set(subprocess.check_output([sys.executable, "-c", program], text=True).split())
        assert not loaded & {"cyclopts", "rich", "multiprocessing", "conveyor.pipeline", "conveyor.bench"}


class TestUsageErrors:
    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["frobnicate"], "Unknown command"),
            (["map"], "MODULE:FUNCTION"),
            (["map", "json"], "must be MODULE:FUNCTION"),
            (["map", ":loads"], "must be MODULE:FUNCTION"),
            (["map", "json:"], "must be MODULE:FUNCTION"),
            (["map", "no_such_module:f"], "there is no module 'no_such_module'"),
            (["map", "json.nothing:f"], "there is no module 'json.nothing'"),
            (["map", "no/such/file.py:f"], "there is no file no/such/file.py"),
            (["map", "json:loades"], "did you mean 'loads'?"),
            (["map", "json:JSONDecoder.nothing"], "has no 'nothing'"),
            (["map", "json:loads", "--halt", "later"], "it must be never, soon or now"),
            (["map", "json:loads", "-j", "0"], "--jobs is '0'"),
            (["map", "json:loads", "-j", "many"], "--jobs is 'many'"),
            (["map", "json:loads", "--window", "0"], "--window is 0; it must be at least 1"),
            (["map", "json:loads", "--max-crashes", "0"], "--max-crashes is 0"),
            (["map", "json:loads", "--nonsense"], "--nonsense"),
            (["demo", "--pause", "-1"], "--pause is -1"),
            (["info", "ftp://x"], "scheme must be one of shm://"),
            (["info"], "URL"),
        ],
    )
    def test_names_what_is_wrong(self, run: Any, words: list[str], message: str) -> None:
        done = run(*words)
        assert done.code == 2
        assert done.out == ""
        assert message in done.err
        assert "Traceback" not in done.err

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("not_callable", "is a int, 5; it must be callable"),
            ("asynchronous", "is an async function"),
            ("generator", "is a generator"),
        ],
    )
    def test_what_is_no_function_of_an_item(
        self, run: Any, function: Function, name: str, message: str
    ) -> None:
        done = run("map", function(name), stdin="a\n")
        assert (done.code, done.out) == (2, "")
        assert message in done.err

    def test_a_module_that_raises_says_where(self, run: Any, tmp_path: Path) -> None:
        (tmp_path / "broken.py").write_text("x = 1\ny = 1 / 0\n")
        done = run("map", "broken:f", cwd=tmp_path)
        assert done.code == 2
        assert re.search(r"broken cannot be imported: ZeroDivisionError: .*broken\.py:2\)", done.err)

    def test_a_module_whose_own_import_fails(self, run: Any, tmp_path: Path) -> None:
        (tmp_path / "needy.py").write_text("import no_such_dependency\n")
        done = run("map", "needy:f", cwd=tmp_path)
        assert done.code == 2
        assert (
            "needy cannot be imported: ModuleNotFoundError: No module named 'no_such_dependency'" in done.err
        )

    def test_closed_input(self, environment: dict[str, str]) -> None:
        command = f"exec {sys.executable} -m conveyor map json:loads <&-"
        done = subprocess.run(
            ["sh", "-c", command], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 2
        assert "standard input is closed" in done.stderr


class TestTarget:
    def test_the_current_folder_can_be_imported_from(self, run: Any, tmp_path: Path) -> None:
        (tmp_path / "package").mkdir()
        (tmp_path / "package" / "module.py").write_text("def twice(x): return x + x\n")
        for target in ("package.module:twice", "package/module.py:twice", "./package/module.py:twice"):
            assert run("map", target, stdin="ab\n", cwd=tmp_path).out == "abab\n"

    def test_a_file_may_be_named_as_a_module_of_the_library(self, run: Any, tmp_path: Path) -> None:
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "json.py").write_text("def f(x): return 'mine'\n")
        assert run("map", "mine/json.py:f", stdin="x\n", cwd=tmp_path).out == "mine\n"

    def test_a_builtin(self, run: Any) -> None:
        assert run("map", "builtins:len", stdin="four\n").out == "4\n"


class TestEnvironment:
    def test_every_option(self, run: Any, function: Function) -> None:
        env = {"CONVEYOR_MAP_JSONL": "true", "CONVEYOR_MAP_JOBS": "50%", "CONVEYOR_MAP_START_METHOD": "spawn"}
        assert run("map", function("same"), stdin='{"a": 1}\n', env=env).out == '{"a":1}\n'

    def test_a_wrong_value_is_named(self, run: Any, function: Function) -> None:
        done = run("map", function("same"), env={"CONVEYOR_MAP_HALT": "perhaps"})
        assert done.code == 2
        assert "CONVEYOR_MAP_HALT" in done.err

    def test_the_command_line_wins(self, run: Any, function: Function) -> None:
        done = run("map", "-j", "1", function("same"), stdin="a\n", env={"CONVEYOR_MAP_JOBS": "none"})
        assert (done.code, done.out) == (0, "a\n")


class TestDemo:
    def check(self, out: str) -> None:
        lines = out.splitlines()
        put = [
            int(m[1]) for line in lines if (m := re.fullmatch(r"Producer: Put (\d+) into the queue\.", line))
        ]
        got = [
            int(m[1]) for line in lines if (m := re.fullmatch(r"Consumer: Got (\d+) from the queue\.", line))
        ]
        assert len(put) == 5
        assert put == got
        assert all(1 <= number <= 100 for number in put)
        for number in put:  # as often got as put, at no time more
            assert lines.index(f"Producer: Put {number} into the queue.") < lines.index(
                f"Consumer: Got {number} from the queue."
            )
        assert lines[-2:] == ["Consumer: Received termination signal.", "Done!"]
        assert len(lines) == 12

    def test_the_classic_program(self, run: Any) -> None:
        done = run("demo", "--pause", "0", "--seed", "3")
        assert (done.code, done.err) == (0, "")
        self.check(done.out)
        again = run("demo", "--pause", "0", env={"CONVEYOR_DEMO_SEED": "3"})
        assert sorted(again.lines) == sorted(done.lines)

    @pytest.mark.parametrize("module", ["conveyor.multiprocessing", "multiprocessing"])
    def test_the_example_differs_from_plain_multiprocessing_by_one_line(
        self, tmp_path: Path, environment: dict[str, str], module: str
    ) -> None:
        text = (ROOT / "examples" / "producer_consumer.py").read_text()
        line = "import conveyor.multiprocessing as multiprocessing\n"
        assert text.count(line) == 1
        assert text.count("conveyor.multiprocessing") == 1
        program = tmp_path / "program.py"
        program.write_text(
            text.replace(line, f"import {module} as multiprocessing\n").replace("main()\n", "main(0)\n")
        )
        self.check(subprocess.check_output([sys.executable, program], text=True, timeout=30, env=environment))


@pytest.fixture
def url() -> Iterator[str]:
    url = f"shm://test-{os.getpid()}-{uuid.uuid4().hex}"
    yield url
    with contextlib.suppress(FileNotFoundError):
        conveyor.remove(url)


class TestNamedQueues:
    def test_info(self, run: Any, url: str) -> None:
        queue = conveyor.connect(url, create=True)
        queue.put_many(range(1200))
        done = run("info", url)
        assert done.code == 0
        assert re.search(r"items in +1,200\n", done.out)
        figures = json.loads(run("info", "--json", url).out)
        assert (figures["url"], figures["items_in"], figures["depth"]) == (url, 1200, 1200)
        assert figures["put_blocked_seconds"] == 0

    @pytest.mark.parametrize("verb", ["info", "rm"])
    def test_a_queue_that_is_not_there(self, run: Any, url: str, verb: str) -> None:
        done = run(verb, url)
        assert (done.code, done.out) == (3, "")
        assert f"there is no queue at {url}" in done.err

    def test_rm_refuses_when_nobody_can_be_asked(self, run: Any, url: str) -> None:
        conveyor.connect(url, create=True).put(1)
        done = run("rm", url)
        assert done.code == 5
        assert f"not removed: {url} with 1 item in it" in done.err
        assert conveyor.connect(url, create=False).get() == 1

    @pytest.mark.parametrize(("answer", "code"), [(b"y\n", 0), (b"n\n", 5), (b"\n", 5)])
    def test_rm_asks(self, start: Any, url: str, read_until: Any, answer: bytes, code: int) -> None:
        conveyor.connect(url, create=True).put_many([1, 2])
        running = start("rm", url, terminal="stdin stderr")
        read_until(running.terminal, lambda data: f"Remove {url} with 2 items in it? [y/N]".encode() in data)
        os.write(running.terminal, answer)
        assert running.finish().code == code
        if code:
            assert conveyor.connect(url, create=False).qsize() == 2
        else:
            with pytest.raises(FileNotFoundError):
                conveyor.connect(url, create=False)

    def test_rm_force_and_dry_run(self, run: Any, url: str) -> None:
        conveyor.connect(url, create=True)
        assert run("rm", "--dry-run", url).code == 0
        assert conveyor.connect(url, create=False).empty()
        assert run("rm", "-f", url).code == 0
        with pytest.raises(FileNotFoundError):
            conveyor.connect(url, create=False)


def test_bench_gets_its_own_options(run: Any) -> None:
    done = run("bench", "--help")
    assert done.code == 0
    assert "bench" in done.out
    assert run("bench", "--no-such-option").code == 2


def test_the_workers_start_method_is_a_choice_of_python(run: Any, function: Function) -> None:
    assert {"fork", "spawn", "forkserver"} == set(multiprocessing.get_all_start_methods())
    assert run("map", "--start-method", "thread", function("same")).code == 2


def test_the_main_job_counts_what_a_plain_loop_counts() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "stdlib_tokens.py", "-j2", "--check", "--limit", "40"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "One plain loop counts the same" in done.stdout
    assert re.search(r"40 files, [\d.]+ MB in", done.stdout)


@pytest.mark.parametrize("words", [("info",), ("rm",), ("rm", "-f")])
def test_a_password_is_never_shown(run: Any, words: tuple[str, ...]) -> None:
    done = run(*words, "redis://user:s3cret@127.0.0.1:1/0/jobs?connect_timeout=0.1")
    assert done.code != 0
    assert "s3cret" not in done.out + done.err
