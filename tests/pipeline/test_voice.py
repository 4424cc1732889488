"""What workers log, warn of and print: it comes to the program, in order, whole, and nothing is lost."""

from __future__ import annotations

import contextlib
import fcntl
import io
import logging
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import textwrap
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyte
import pytest
from stages import slow_item

from conveyor import Pipeline, Workers

METHODS: list[Any] = ["fork", "spawn", "forkserver"]
logger = logging.getLogger("voice.test")


class Keeping(logging.Handler):
    """Keeps what it is given, and may log something about it."""

    def __init__(self, answers: bool = False) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.answers = answers

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        if self.answers and record.name != "voice.answer":
            logging.getLogger("voice.answer").info("heard %s", record.getMessage())


class Unpicklable:
    def __reduce__(self) -> Any:
        raise TypeError("not me")

    def __repr__(self) -> str:
        return "<unpicklable>"


@pytest.fixture
def kept() -> Iterator[Keeping]:
    handler = Keeping()
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.INFO)
    root.addHandler(handler)
    yield handler
    root.removeHandler(handler)
    root.setLevel(level)


def log(item: int) -> int:
    logger.debug("not this")
    logger.info("item %d", item)
    return item


def log_more(item: int) -> int:
    logging.getLogger("voice.other").warning("again %d", item)
    return item


def log_and_die(item: int) -> int:
    logger.info("last words of %d", item)
    if item == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def log_what_does_not_travel(item: int) -> int:
    logger.info("an %s", Unpicklable(), extra={"tag": Unpicklable(), "number": item})
    try:
        raise KeyError("mine")
    except KeyError:
        logger.exception("it failed")
    return item


def log_from_threads(item: int) -> list[int]:
    threads = [
        threading.Thread(target=lambda n=n: [logger.info("%d.%d", n, m) for m in range(50)]) for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for number in range(3000):
        if not number % 300:
            logger.info("main %d", number)
    for thread in threads:
        thread.join()
    return list(range(3000))


def log_at_the_level(item: int) -> tuple[bool, bool, bool]:
    quiet, loud = logging.getLogger("voice.quiet"), logging.getLogger("voice.loud")
    loud.debug("loud")
    quiet.error("quiet")
    return (
        quiet.isEnabledFor(logging.ERROR),
        loud.isEnabledFor(logging.DEBUG),
        logger.isEnabledFor(logging.DEBUG),
    )


class LogsInItsLife:
    def setup(self) -> None:
        logger.info("setup")

    def __call__(self, item: int) -> int:
        return item

    def teardown(self) -> None:
        logger.info("teardown")


def warn(item: int) -> int:
    warnings.warn("old thing", DeprecationWarning, stacklevel=1)
    warnings.warn(f"number {item}", stacklevel=1)
    return item


def print_some(item: int) -> int:
    print("item", item, "of", os.getpid())
    print("part of ", end="")
    print("a line", item)
    print("error", item, file=sys.stderr)
    return item


class TestLogs:
    @pytest.mark.parametrize("method", METHODS)
    def test_come_to_the_handlers_here_in_order_and_once(self, method: Any, kept: Keeping) -> None:
        report = Pipeline(range(100)).map(log, workers=2).map(log_more, workers=1).to(list)
        assert len(report.run(start_method=method).result) == 100
        texts = [record.getMessage() for record in kept.records]
        assert sorted(texts) == sorted([f"item {n}" for n in range(100)] + [f"again {n}" for n in range(100)])
        for number in range(100):  # what a stage logs of an item comes before what the next one does
            assert texts.index(f"item {number}") < texts.index(f"again {number}")
        for pid in {record.process for record in kept.records}:
            times = [record.created for record in kept.records if record.process == pid]
            assert times == sorted(times)
        assert {record.name for record in kept.records} == {"voice.test", "voice.other"}
        assert os.getpid() not in {record.process for record in kept.records}

    @pytest.mark.parametrize("method", METHODS)
    def test_of_one_that_is_killed_are_all_there(self, method: Any, kept: Keeping) -> None:
        stage = Pipeline(range(8)).map(log_and_die, workers=1, on_error="skip").to(list)
        assert stage.run(start_method=method).deaths == 1
        assert [record.getMessage() for record in kept.records] == [f"last words of {n}" for n in range(8)]

    @pytest.mark.parametrize("method", METHODS)
    def test_of_setup_and_teardown_come_too(self, method: Any, kept: Keeping) -> None:
        Pipeline([1]).map(LogsInItsLife, workers=1).to(list).run(start_method=method)
        assert [record.getMessage() for record in kept.records] == ["setup", "teardown"]

    @pytest.mark.parametrize("method", METHODS)
    def test_levels_are_those_of_the_program(self, method: Any, kept: Keeping) -> None:
        logging.getLogger("voice.quiet").setLevel(logging.CRITICAL)
        logging.getLogger("voice.loud").setLevel(logging.DEBUG)
        try:
            report = Pipeline([1]).map(log_at_the_level, workers=1).to(list).run(start_method=method)
        finally:
            logging.getLogger("voice.quiet").setLevel(logging.NOTSET)
            logging.getLogger("voice.loud").setLevel(logging.NOTSET)
        assert report.result == [(False, True, False)]
        assert [record.getMessage() for record in kept.records] == ["loud"]

    @pytest.mark.parametrize("method", METHODS)
    def test_of_a_logger_that_passes_nothing_on_come_to_its_handlers(
        self, method: Any, kept: Keeping
    ) -> None:
        mine = Keeping()
        logger.addHandler(mine)
        logger.propagate = False
        try:
            Pipeline([1]).map(log, workers=1).to(list).run(start_method=method)
        finally:
            logger.removeHandler(mine)
            logger.propagate = True
        assert [record.getMessage() for record in mine.records] == ["item 1"]
        assert not kept.records

    def test_what_does_not_travel_is_shown(self, kept: Keeping) -> None:
        Pipeline([7]).map(log_what_does_not_travel, workers=1).to(list).run()
        first, second = kept.records
        assert first.getMessage() == "an <unpicklable>"
        assert (first.tag, first.number) == ("<unpicklable>", 7)  # type: ignore[attr-defined]
        assert "KeyError: 'mine'" in logging.Formatter().format(second)

    def test_a_handler_that_logs_is_heard(self, kept: Keeping) -> None:
        kept.answers = True
        Pipeline(range(3)).map(log, workers=1).to(list).run()
        texts = [record.getMessage() for record in kept.records]
        assert texts == [text for n in range(3) for text in (f"item {n}", f"heard item {n}")]

    def test_of_threads_beside_very_many_results(self, kept: Keeping) -> None:
        report = Pipeline([1, 2]).flat_map(log_from_threads, workers=1, ordered=True).to(list).run()
        assert report.result == [*range(3000), *range(3000)]
        assert len(kept.records) == 2 * (200 + 10)

    def test_of_a_run_that_fails_or_is_left_come_too(self, kept: Keeping) -> None:
        def fail(item: int) -> int:
            logger.info("before it fails")
            raise ValueError(item)

        with pytest.raises(ValueError, match="1"):
            Pipeline([1]).map(fail, workers=1).to(list).run(start_method="fork")
        assert [record.getMessage() for record in kept.records] == ["before it fails"]

    def test_are_left_to_the_workers_if_that_is_wished(self, kept: Keeping) -> None:
        Pipeline([1]).map(log, workers=1).to(list).run(logs=False)
        assert not kept.records

    def test_of_workers_that_stay(self, kept: Keeping) -> None:
        with Workers(2) as workers:
            for _ in range(3):
                workers.map(log, range(20))
        assert sorted(record.getMessage() for record in kept.records) == sorted(
            3 * [f"item {n}" for n in range(20)]
        )

    @pytest.mark.parametrize("method", METHODS)
    def test_a_program_configures_once(self, method: str, tmp_path: Path) -> None:
        done = run(
            tmp_path,
            f"""
            import logging
            from conveyor import Pipeline

            def work(item):
                logging.getLogger("work").info("item %d", item)
                return item

            if __name__ == "__main__":
                logging.basicConfig(level=logging.INFO, filename="log.txt", format="%(name)s %(message)s")
                Pipeline(range(50)).map(work, workers=2).to(list).run(start_method="{method}")
            """,
        )
        assert not done.stdout
        assert not done.stderr
        lines = (tmp_path / "log.txt").read_text().splitlines()
        assert sorted(lines) == sorted(f"work item {n}" for n in range(50))


class TestWarnings:
    @pytest.mark.parametrize("method", METHODS)
    def test_are_shown_once_in_a_run(self, method: Any) -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            Pipeline(range(30)).map(slow_item, workers=1).map(warn, workers=3).to(list).run(
                start_method=method
            )
        texts = [str(each.message) for each in caught]
        assert texts.count("old thing") == 1
        assert sorted(texts) == sorted(["old thing", *(f"number {n}" for n in range(30))])
        assert {each.category for each in caught} == {DeprecationWarning, UserWarning}
        assert {Path(each.filename).name for each in caught} == {"test_voice.py"}

    @pytest.mark.parametrize("method", METHODS)
    def test_that_the_program_ignores_are_not_shown(self, method: Any) -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            warnings.filterwarnings("ignore", "number", UserWarning)
            Pipeline(range(5)).map(warn, workers=1).to(list).run(start_method=method)
        assert [str(each.message) for each in caught] == ["old thing"]

    @pytest.mark.parametrize("method", METHODS)
    def test_that_are_errors_fail_the_item(self, method: Any) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.filterwarnings("error", "number 3", UserWarning)
            report = Pipeline(range(5)).map(warn, workers=1, on_error="skip").run(start_method=method)
        assert report.failures == 1
        assert report.first_failures[0].kind == "UserWarning"


class TestPrints:
    @pytest.mark.parametrize("method", METHODS)
    def test_are_whole_lines(self, method: str, tmp_path: Path) -> None:
        done = run(
            tmp_path,
            f"""
            import threading
            from conveyor import Pipeline

            def work(item):
                def say(n):
                    for m in range(40):
                        print("item", item, "thread", n, "line", m, "x" * 200)
                threads = [threading.Thread(target=say, args=(n,)) for n in range(3)]
                for thread in threads: thread.start()
                for thread in threads: thread.join()
                return item

            if __name__ == "__main__":
                Pipeline(range(12)).map(work, workers=3, max_items_per_worker=1).to(list).run(start_method="{method}")
            """,
        )
        lines = [
            f"item {i} thread {n} line {m} {200 * 'x'}"
            for i in range(12)
            for n in range(3)
            for m in range(40)
        ]
        assert sorted(done.stdout.splitlines()) == sorted(lines)

    def test_of_one_that_is_killed_are_out(self, tmp_path: Path) -> None:
        done = run(
            tmp_path,
            """
            import os, signal
            from conveyor import Pipeline

            def work(item):
                print("begins", item)
                if item == 2:
                    os.kill(os.getpid(), signal.SIGKILL)
                return item

            if __name__ == "__main__":
                Pipeline(range(4)).map(work, workers=1, on_error="skip").to(list).run()
            """,
        )
        assert done.stdout.splitlines() == [f"begins {n}" for n in range(4)]

    @pytest.mark.parametrize("method", METHODS)
    def test_come_to_what_stands_for_standard_output_here(self, method: Any) -> None:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            Pipeline(range(3)).map(print_some, workers=1).to(list).run(start_method=method)
        lines = out.getvalue().splitlines()
        assert [line.split(" of ")[0] for line in lines[::2]] == [f"item {n}" for n in range(3)]
        assert lines[1::2] == [f"part of a line {n}" for n in range(3)]
        assert err.getvalue().splitlines() == [f"error {n}" for n in range(3)]

    def test_leave_the_display_of_progress_as_it_is(self, tmp_path: Path) -> None:
        program = tmp_path / "program.py"
        program.write_text(
            textwrap.dedent("""
            import sys, time
            from conveyor import Pipeline

            def work(item):
                print("printed", item, "by a worker")
                print("complaint", item, "of a worker", file=sys.stderr)
                time.sleep(0.05)
                return item

            if __name__ == "__main__":
                Pipeline(range(20), name="shown").map(work, workers=2).to(list).run(progress=True)
            """)
        )
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 60, 100, 0, 0))
        env = {**os.environ, "TERM": "xterm-256color"}
        process = subprocess.Popen([sys.executable, program], stdout=slave, stderr=slave, env=env)
        os.close(slave)
        screen = pyte.Screen(100, 60)
        stream = pyte.ByteStream(screen)
        with contextlib.suppress(OSError):  # the terminal's last process has gone
            while more := os.read(master, 65536):
                stream.feed(more)
        os.close(master)
        assert process.wait(30) == 0
        lines = [line.rstrip() for line in screen.display if line.strip()]
        for number in range(20):
            assert lines.count(f"printed {number} by a worker") == 1
            assert lines.count(f"complaint {number} of a worker") == 1
        assert lines[40].startswith("shown: 20 items in ")  # and nothing of the table before it
        assert not any("in flight" in line for line in lines)  # no piece of the table is left

    def test_of_a_childs_child_are_no_worse(self, tmp_path: Path) -> None:
        done = run(
            tmp_path,
            """
            import os, subprocess, sys
            from conveyor import Pipeline

            def work(item):
                pid = os.fork()
                if not pid:
                    print("child")
                    sys.stdout.flush()
                    os._exit(0)
                os.waitpid(pid, 0)
                subprocess.run(["echo", "program"], check=True)
                sys.stdout.buffer.write(b"bytes\\n")
                sys.stdout.flush()
                print(sys.stdout.isatty(), sys.stdout.fileno(), sys.stdout.encoding)
                return item

            if __name__ == "__main__":
                Pipeline(range(1)).map(work, workers=1).to(list).run()
            """,
        )
        assert done.stdout.splitlines() == ["child", "program", "bytes", "False 1 utf-8"]


def run(folder: Path, program: str) -> subprocess.CompletedProcess[str]:
    path = folder / "program.py"
    path.write_text(textwrap.dedent(program), encoding="utf-8")
    env = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(
        [sys.executable, path], capture_output=True, text=True, check=True, cwd=folder, timeout=60, env=env
    )
