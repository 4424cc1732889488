"""`conveyor top` on real terminals: what stands where, keys, sizes, and that the terminal is as before afterwards."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import termios
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from on_screen import OnScreen

HERE = Path(__file__).parent
COLOUR = re.compile(rb"\x1b\[[0-9;]*3[0-7][0-9;]*m")

ENTERED = b"\x1b[?1049h"
LEFT = b"\x1b[?7h\x1b[?25h\x1b[?1049l"

Watched = Callable[..., str]
Top = Callable[..., OnScreen]


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    """Start `watched.py`; the prefix of all that it makes."""
    started: list[subprocess.Popen[str]] = []

    def start(*sizes: int) -> str:
        prefix = f"w{uuid.uuid4().hex[:8]}"
        process = subprocess.Popen(
            [sys.executable, str(HERE / "watched.py"), prefix, *map(str, sizes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return prefix

    yield start
    for process in started:
        process.communicate(timeout=60)


@pytest.fixture(scope="module")
def few(watched: Watched) -> str:
    return watched()


@pytest.fixture(scope="module")
def many(watched: Watched) -> str:
    return watched(100, 20)


@pytest.fixture
def top(environment: dict[str, str]) -> Iterator[Top]:
    """Start `conveyor top …` on a terminal."""
    started: list[OnScreen] = []
    del environment["COLUMNS"]

    def start(*words: str, columns: int = 80, rows: int = 24, **env: str) -> OnScreen:
        for name in ("LC_ALL", "LC_CTYPE", "LANG"):
            environment.pop(name, None)
        started.append(
            OnScreen(
                [sys.executable, "-m", "conveyor", "top", *words],
                {**environment, "LANG": "C.UTF-8", **env},
                columns,
                rows,
            )
        )
        return started[-1]

    yield start
    for each in started:
        each.close()


def quit_it(screen: OnScreen) -> None:
    screen.press("q")
    assert screen.end() == 0
    assert screen.is_restored


class TestWhatStandsThere:
    def test_on_80_by_24(self, top: Top, few: str) -> None:
        screen = top(few)
        screen.shows(f"{few}-full", f"{few}-empty", f"{few}-topic", f"{few}-dict", "watched")
        assert screen.lines[0].startswith("conveyor top - ")
        assert screen.lines[0].endswith("every 1s")
        assert screen.lines[1].split()[:4] == ["QUEUES", "2", "DEPTH", "FULL"]
        assert screen.lines[1].endswith("PUT GET")
        full = screen.line(f"{few}-full").split()
        assert full[1:3] == ["4", "████████"]
        assert full[5].startswith(">"), "it was there before the first look"
        assert screen.line(f"{few}-empty").split()[1] == "0"
        assert screen.line(f"{few}-topic").split()[1:5] == ["3", "0", "1", "3"]
        assert screen.line(f"{few}-dict").split()[1:3] == ["dict", "1"]
        assert screen.lines[23].startswith(f"[{few}]  F1 help")
        screen.until(lambda: re.search(r"(item|room) \S+ w", screen.line("watched")) is not None)
        quit_it(screen)

    def test_on_200_by_60_there_are_more_columns(self, top: Top, few: str) -> None:
        screen = top(few, columns=200, rows=60)
        screen.shows(f"{few}-full", "watched")
        for title in ("WAITS", "MEMORY", "LENT", "BOUND", "PEAK", "LEASED", "DEAD", "USERS", "MADE AT"):
            assert title in screen.lines[1]
        screen.until(lambda: bool(re.search(r" room \d", screen.line(f"{few}-full"))))
        screen.until(lambda: bool(re.search(r" item \d", screen.line(f"{few}-empty"))))
        assert re.search(r" cli/watched\.py:\d+$", screen.line(f"{few}-full"))
        quit_it(screen)

    def test_another_size_is_drawn_at_once(self, top: Top, few: str) -> None:
        screen = top(few, "-d", "3600")
        screen.shows(f"{few}-full")
        assert "MADE AT" not in screen.text
        screen.resize(200, 30)
        screen.shows("MADE AT", "q quit")
        assert screen.lines[29].startswith(f"[{few}]")
        screen.resize(40, 6)
        screen.until(lambda: screen.lines[5].startswith(f"[{few}]"))
        quit_it(screen)

    def test_no_colour(self, top: Top, few: str) -> None:
        coloured, plain = top(few), top(few, NO_COLOR="1")
        for screen in (coloured, plain):
            screen.shows(f"{few}-full", "watched")
            quit_it(screen)
        assert COLOUR.search(coloured.raw)
        assert not COLOUR.search(plain.raw)

    def test_no_unicode(self, top: Top, few: str) -> None:
        screen = top(few, LANG="C")
        screen.shows(f"{few}-full")
        assert screen.line(f"{few}-full").split()[2] == "########"
        quit_it(screen)
        assert screen.raw.isascii()

    def test_rates_and_the_bottleneck_of_a_pipeline(self, top: Top, start: Any, gate: Any, run: Any) -> None:
        running = start("run", f"{HERE / 'pipelines.py'}:gated")
        gate.wait_begun(2)
        screen = top("gated", columns=120)
        screen.shows("PIPELINES", "gated", "to show", "busy", "BOTTLENECK")
        assert screen.line("BOTTLENECK").split()[:2] == ["├─", "gate"]
        assert "2/2" in screen.line("BOTTLENECK")
        busy = [line for line in screen.lines if " busy " in line]
        assert [line.split()[0] for line in busy] == ["gate", "gate"]
        # Home: the cursor stays on the row on which it began, should the run have come above that meanwhile.
        screen.press("\x1b[H\r")
        screen.shows("bottleneck", "in flight")
        quit_it_from_page(screen)
        [found] = json.loads(run("top", "--once", "--json", "gated").out)["pipelines"]
        assert [stage["name"] for stage in found["stages"] if stage["bottleneck"]] == ["gate"]
        running.process.kill()
        gate.open(200)


def quit_it_from_page(screen: OnScreen) -> None:
    screen.press("\x1b[21~")
    assert screen.end() == 0
    assert screen.is_restored


class TestKeys:
    def test_a_hundred_queues(self, top: Top, many: str) -> None:
        screen = top(many, "-d", "0.2")
        screen.shows(f"{many}-000", f"{many}-020")
        assert "QUEUES 101" in screen.lines[1]
        assert f"{many}-021" not in screen.text
        screen.press("\x1b[6~" * 2)
        screen.until(lambda: f"{many}-000" not in screen.text)
        screen.press("\x1b[F")
        screen.shows("COMMAND", "watched")
        screen.press("\x1b[H")
        screen.shows(f"{many}-000")
        screen.press("\x1b[B\x1bOB\x1b[A\r")
        screen.shows(f"{many}-001  queue", "producers", "20 items")
        screen.press("\x1b")
        screen.shows("QUEUES 101")
        quit_it(screen)

    def test_find_and_filter(self, top: Top, many: str) -> None:
        screen = top(many)
        screen.shows(f"{many}-000")
        screen.press("/-07")
        screen.shows("find: -07", f"{many}-070")
        screen.press("\r\r")
        screen.shows(f"{many}-070  queue")
        screen.press("qn\r")
        screen.shows(f"{many}-071  queue")
        screen.press("q\\-09\r")
        screen.shows("QUEUES 10", f"{many}-099")
        assert f"{many}-071" not in screen.text
        screen.press("\x1b")
        screen.shows("QUEUES 101")
        screen.press("/nobody\r")
        screen.shows("there is no nobody")
        quit_it(screen)

    def test_order(self, top: Top, few: str) -> None:
        screen = top(few)
        screen.shows(f"{few}-full")
        assert screen.text.index(f"{few}-empty") < screen.text.index(f"{few}-full")
        screen.press(">")
        screen.shows("QUEUES by NAME", "▲")
        screen.press("\x1b[17~")
        screen.shows("QUEUES by DEPTH", "DEPTH▼")
        assert screen.text.index(f"{few}-empty") > screen.text.index(f"{few}-full")
        screen.press("I")
        screen.shows("DEPTH▲")
        assert screen.text.index(f"{few}-empty") < screen.text.index(f"{few}-full")
        screen.press("<<")
        screen.shows("QUEUES as they come")
        quit_it(screen)

    def test_pause_help_and_sections(self, top: Top, few: str) -> None:
        screen = top(few)
        screen.shows(f"{few}-full")
        screen.press("p")
        screen.shows("PAUSED")
        screen.press("p")
        screen.until(lambda: "PAUSED" not in screen.text)
        screen.press("h")
        screen.shows("pause the display", "OLDEST")
        screen.press("q")
        screen.shows(f"{few}-full")
        screen.press("\t\r")
        screen.shows(f"{few}-topic  topic", "lag 3, missed 0")
        screen.press("q\x1b[Z\x1b[Z\r")
        screen.shows("processor", "has")
        quit_it_from_page(screen)


class TestTheTerminalIsRestored:
    @pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGQUIT"])
    def test_after_a_signal(self, top: Top, few: str, name: str) -> None:
        screen = top(few)
        screen.shows(f"{few}-full")
        number = signal.Signals[name]
        screen.process.send_signal(number)
        assert screen.end() == -number
        assert screen.is_restored

    def test_after_ctrl_c(self, top: Top, few: str) -> None:
        screen = top(few)
        screen.shows(f"{few}-full")
        screen.press("\x03")
        assert screen.end() == 0
        assert screen.is_restored

    def test_while_it_is_stopped(self, top: Top, few: str) -> None:
        """Of a group of processes that no shell looks after, the kernel stops none: so this one goes on at once."""
        screen = top(few)
        screen.shows(f"{few}-full")
        screen.press("\x1a")
        screen.until(lambda: LEFT in screen.raw and b"F1 help" in screen.raw.partition(LEFT)[2])
        assert ENTERED in screen.raw.partition(LEFT)[2]
        quit_it(screen)

    def test_after_it_was_stopped_and_another_had_the_terminal(self, top: Top, few: str) -> None:
        screen = top(few)
        screen.shows(f"{few}-full")
        screen.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, screen.process.pid, os.WSTOPPED | os.WNOWAIT)
        termios.tcsetattr(screen.slave, termios.TCSANOW, screen.before)
        drawn = len(screen.raw)
        screen.process.send_signal(signal.SIGCONT)
        screen.until(lambda: ENTERED in screen.raw[drawn:] and b"F1 help" in screen.raw[drawn:])
        quit_it(screen)

    def test_after_an_error(self, environment: dict[str, str], few: str) -> None:
        program = (
            "import sys\n"
            "from conveyor.cli.watching.overview import Overview\n"
            "from conveyor.cli.app import main\n"
            "def fail(*_): raise LookupError('drawn wrong')\n"
            "Overview.lines = fail\n"
            "sys.exit(main(['top']))\n"
        )
        screen = OnScreen([sys.executable, "-c", program], environment)
        assert screen.end() == 1
        assert screen.is_restored
        assert screen.process.stderr is not None
        assert b"LookupError: drawn wrong" in screen.process.stderr.read()
        screen.close()

    def test_when_nobody_reads_what_it_draws(self, top: Top, many: str) -> None:
        screen = top(many, "-d", "0.02", columns=200, rows=60)
        screen.shows(f"{many}-000")
        screen.press("\x13")  # Ctrl-S: the terminal takes nothing more
        screen.process.send_signal(signal.SIGTERM)
        assert screen.end() == -signal.SIGTERM


class TestItDisturbsNobody:
    def test_stopped_killed_and_ten_of_it(self, top: Top, few: str, run: Any) -> None:
        screens = [top(few, "-d", "0.1") for _ in range(10)]
        for screen in screens:
            screen.shows(f"{few}-full")
        for screen in screens[:5]:
            screen.process.send_signal(signal.SIGSTOP)
        for screen in screens[5:]:
            screen.process.kill()
            screen.process.wait()
        seen = json.loads(run("top", "--once", "--json", few).out)
        assert [each["figures"]["depth"] for each in seen["queues"]] == [0, 4]
        assert [len(each["users"]) for each in seen["queues"]] == [1, 1], "who watches is no user"


class TestNoTerminal:
    def test_one_look_as_text(self, run: Any, few: str) -> None:
        done = run("top", few)
        assert done.code == 0
        assert "\x1b" not in done.out
        assert "█" not in done.out
        full = next(line for line in done.lines if f"{few}-full" in line)
        assert full.split()[1] == "4"
        assert any("MADE AT" in line for line in done.lines)
        assert f"{few}-full" in run("top", "--once", "-n", "1", f"{few}-full").out
        assert "and 1 more" in run("top", "-n1", few).out

    def test_a_dumb_terminal(self, top: Top, few: str) -> None:
        screen = top(few, TERM="dumb")
        assert screen.end() == 0
        assert b"\x1b" not in screen.raw
        assert f"{few}-full".encode() in screen.raw

    def test_json(self, run: Any, many: str) -> None:
        done = run("top", "--once", "--json", many)
        [line] = done.lines
        seen = json.loads(line)
        assert len(seen["queues"]) == 101
        first = seen["queues"][0]
        assert first["label"] == f"{many}-000"
        assert first["figures"]["depth"] == 20
        assert first["rates"]["at_least"] is True
        assert len(first["users"]) == 21
        assert len(seen["processes"]) == 21
        assert seen["seconds"] > 0
        assert len(json.loads(run("top", "--once", "--json", "-n", "3", many).out)["queues"]) == 3

    def test_json_without_once_is_a_line_for_each_look(self, start: Any, few: str, read_until: Any) -> None:
        running = start("top", "--json", "-d", "0.05", few)
        lines = read_until(running.out, lambda data: data.count(b"\n") >= 3).splitlines()[:3]
        times = [json.loads(line)["time"] for line in lines]
        assert times == sorted(set(times))
        running.close_out()
        assert running.process.wait(30) == 0

    def test_what_is_wrong(self, run: Any) -> None:
        for words, text in (
            (("-d", "0"), "-d is 0; it must be"),
            (("-n", "0"), "-n is 0; it must be"),
            (("-d", "x"), "Try 'conveyor top --help'"),
            (("--no-such",), "Try 'conveyor top --help'"),
        ):
            done = run("top", *words)
            assert (done.code, text in done.err) == (2, True), done.err

    def test_a_variable_of_the_environment(self, run: Any, many: str) -> None:
        done = run("top", "--once", "--json", many, env={"CONVEYOR_TOP_MOST": "2"})
        assert len(json.loads(done.out)["queues"]) == 2

    def test_nothing_heavy_is_imported(self) -> None:
        program = (
            "import sys; from conveyor.cli.app import main; main(['top', '--once', '--json', 'no-such']); "
            "print(*sys.modules, file=sys.stderr)"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        loaded = set(done.stderr.split())
        assert not loaded & {"rich", "cyclopts", "multiprocessing", "asyncio", "subprocess"}
