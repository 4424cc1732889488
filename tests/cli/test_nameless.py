"""Verbs on what has no name: by label, line, id and pid, in other processes, and when those end in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import conveyor
from conveyor.cli.app import main
from conveyor.inspection import Reached, SegmentView, survey

PROGRAM = Path(__file__).parent / "nameless.py"


class Program:
    """nameless.py under way."""

    def __init__(self, running: Any, read_until: Callable[..., bytes], prefix: str) -> None:
        self.running = running
        self.prefix = prefix
        self._read_until = read_until
        self._seen = b""
        self.pid = int(self.until("ready").split()[1])

    def until(self, word: str) -> str:
        """The next line that begins with it."""
        mark = word.encode()

        def has_come(data: bytes) -> bool:
            return any(line.startswith(mark) for line in data.split(b"\n")[:-1])

        self._seen = self._read_until(self.running.out, has_come, self._seen)
        lines = self._seen.split(b"\n")
        number = next(n for n, line in enumerate(lines) if line.startswith(mark))
        self._seen = b"\n".join(lines[number + 1 :])
        return lines[number].decode()

    def label(self, word: str) -> str:
        return f"{self.prefix}-{word}"

    def view(self, word: str) -> SegmentView:
        [found] = survey().find(self.label(word))
        return found

    def kill(self) -> None:
        os.killpg(self.pid, signal.SIGKILL)


@pytest.fixture
def program(start: Any, read_until: Callable[..., bytes]) -> Iterator[Callable[..., Program]]:
    started: list[Program] = []

    def begin(*words: str) -> Program:
        prefix = f"nameless-{uuid.uuid4().hex[:8]}"
        started.append(Program(start(prefix, *words, script=PROGRAM), read_until, prefix))
        return started[-1]

    yield begin
    for each in started:
        with_children = each.running.process
        if with_children.poll() is None:
            each.kill()


def said(capfd: pytest.CaptureFixture[str], *words: str, code: int = 0) -> tuple[str, str]:
    """What the command prints."""
    capfd.readouterr()
    got = main(list(words))
    out, err = capfd.readouterr()
    assert got == code, err
    return out, err


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_what_is_put_wakes_who_waits_for_several_things(
    program: Callable[..., Program], capfd: pytest.CaptureFixture[str], method: str
) -> None:
    theirs = program(method)
    said(capfd, "put", theirs.label(method), "x", "y")
    assert theirs.until("child") == "child got x"
    assert theirs.until("child") == "child got y"
    figures = theirs.view(method).figures
    assert figures["producers"] == 0
    assert len(figures["consumer_pids"]) == 1


def test_who_begins_to_wait_after_it_was_reached_is_woken(program: Callable[..., Program]) -> None:
    theirs = program("plain")
    reached = Reached(theirs.view("plain"))
    try:
        theirs.running.send("watch plain\n")
        theirs.until("watching")
        reached.handle.put("late")
        assert theirs.until("got") == "got late"
    finally:
        reached.close()


def test_verbs(program: Callable[..., Program], capfd: pytest.CaptureFixture[str]) -> None:
    theirs = program("plain", "full", "topic")
    plain, full, topic = map(theirs.label, ("plain", "full", "topic"))
    said(capfd, "put", "--jsonl", plain, '"a"', '{"n":1}', "3")
    assert said(capfd, "peek", plain)[0] == 'a\n{"n":1}\n3\n'
    assert said(capfd, "peek", "-n", "1", theirs.view("plain").id)[0] == "a\n"
    said(capfd, "pause", plain)
    assert theirs.view("plain").paused
    said(capfd, "get", "--timeout", "0", plain, code=4)
    said(capfd, "resume", plain)
    assert said(capfd, "get", plain)[0] == "a\n"
    said(capfd, "wait", "--timeout", "0", plain, code=4)
    assert "no room" in said(capfd, "put", "--timeout", "0", full, "x", code=4)[1]
    told = json.loads(said(capfd, "move", "-f", "--json", full, plain)[0])
    assert told == {"from": full, "to": plain, "moved": 2, "kept": 0}
    assert said(capfd, "get", "--all", "--lease", "--timeout", "0", full)[0] == ""
    assert said(capfd, "purge", "-f", "--json", plain)[0] == f'{{"url": "{plain}", "purged": 4}}\n'
    said(capfd, "wait", plain)
    said(capfd, "put", topic, "event")
    assert said(capfd, "tail", "--from", "oldest", "-n", "1", topic)[0] == "event\n"
    figures = theirs.view("plain").figures
    assert (figures["producers"], figures["consumers"], figures["depth"]) == (0, 0, 0)
    # Nothing of it is left here: it goes with its process.
    theirs.kill()
    theirs.running.process.wait(30)
    assert not survey().find(plain)


def test_dead_letters_go_back(program: Callable[..., Program], capfd: pytest.CaptureFixture[str]) -> None:
    theirs = program("plain", "letters")
    reached = Reached(theirs.view("letters"))
    reached.handle.put(conveyor.DeadLetter({"n": 1}, 3, "ValueError: bad", 17))
    reached.close()
    words = ("retry", "-f", "--from", theirs.label("letters"))
    assert "retried 1 item" in said(capfd, *words, theirs.label("plain"))[1]
    assert said(capfd, "get", theirs.label("plain"))[0] == '{"n":1}\n'


def test_what_is_taken_from_a_joinable_queue_is_done(
    program: Callable[..., Program], capfd: pytest.CaptureFixture[str]
) -> None:
    theirs = program("join")
    theirs.running.send("join join\n")
    theirs.until("put")
    assert said(capfd, "get", "-n", "2", theirs.label("join"))[0] == "a\nb\n"
    assert theirs.until("joined") == "joined True"


def test_what_is_meant_must_be_clear(
    program: Callable[..., Program], capfd: pytest.CaptureFixture[str]
) -> None:
    theirs = program("plain", "full", "dict", "topic")
    listed = said(capfd, "peek", str(theirs.pid), code=2)[1]
    assert "2 things" in listed
    assert theirs.view("plain").id in listed
    assert theirs.label("full") in listed
    assert theirs.label("dict") not in listed
    said(capfd, "put", theirs.label("plain"), "only")
    assert "is a dict" in said(capfd, "peek", theirs.label("dict"), code=2)[1]
    assert "conveyor get" in said(capfd, "tail", theirs.label("plain"), code=2)[1]
    assert "conveyor tail" in said(capfd, "get", theirs.label("topic"), code=2)[1]
    assert "nothing here" in said(capfd, "get", f"{theirs.prefix}-not", code=3)[1]
    assert "same queue" in said(capfd, "move", theirs.label("plain"), theirs.view("plain").id, code=2)[1]
    told = said(capfd, "rm", theirs.label("plain"), code=2)[1]
    assert "no name that could be removed" in told
    assert str(theirs.pid) in told
    lone = program("plain")
    said(capfd, "put", str(lone.pid), "x")
    assert said(capfd, "get", str(lone.pid))[0] == "x\n"


def test_a_pipe_is_left_alone(program: Callable[..., Program], capfd: pytest.CaptureFixture[str]) -> None:
    theirs = program("pipe")
    found = survey().find(str(theirs.pid))
    assert found
    for view in found:
        assert "one direction of a Pipe" in said(capfd, "put", view.id, "x", code=2)[1]


def test_a_name_and_the_label_of_what_has_one(capfd: pytest.CaptureFixture[str]) -> None:
    name = f"test-nameless-{uuid.uuid4().hex[:8]}"
    queue = conveyor.connect(f"shm://{name}")
    try:
        said(capfd, "put", name, "x")
        assert said(capfd, "get", name)[0] == "x\n"
        assert "removed" in said(capfd, "rm", "-f", name)[1]
    finally:
        queue.close()
    assert not Path(f"/dev/shm/conveyor.{name}").exists()


class TestKilled:
    """All processes that have it end while the command works."""

    def test_get_goes_on_with_what_there_is(self, program: Callable[..., Program], start: Any) -> None:
        theirs = program("full")
        # Two of them, of which none keeps the queue for the other.
        both = [start("get", *words, theirs.label("full")) for words in (["--all"], ["-n", "9", "--lease"])]
        while not {each.pid for each in both} <= set(theirs.view("full").users):
            assert all(each.process.poll() is None for each in both)
        theirs.kill()
        done = [each.finish() for each in both]
        assert [each.code for each in done] == [0, 0], done
        assert sorted(done[0].out + done[1].out) == sorted("1\n2\n")
        assert "no process has it any more" in done[0].err

    def test_what_is_paused_is_had(
        self, program: Callable[..., Program], start: Any, capfd: pytest.CaptureFixture[str]
    ) -> None:
        theirs = program("full")
        said(capfd, "pause", theirs.label("full"))
        taking = start("get", "--all", theirs.label("full"))
        waits_in(theirs, taking.pid)
        theirs.kill()
        assert taking.finish().out == "1\n2\n"

    def test_put_stops(self, program: Callable[..., Program], start: Any) -> None:
        theirs = program("full")
        putting = start("put", theirs.label("full"), "3")
        waits_in(theirs, putting.pid)
        theirs.kill()
        done = putting.finish()
        assert (done.code, done.out) == (3, "")
        assert "put 0 items" in done.err
        assert "nobody has any more" in done.err

    def test_move_keeps_what_it_cannot_put(
        self, program: Callable[..., Program], start: Any, capfd: pytest.CaptureFixture[str]
    ) -> None:
        theirs, ours = program("full"), program("plain")
        said(capfd, "put", ours.label("plain"), "a", "b")
        moving = start("move", "-f", ours.label("plain"), theirs.label("full"))
        waits_in(theirs, moving.pid)
        theirs.kill()
        done = moving.finish()
        assert done.code == 3
        assert "moved 0 items" in done.err
        assert said(capfd, "peek", ours.label("plain"))[0] == "a\nb\n"

    def test_wait_and_tail_end(self, program: Callable[..., Program], start: Any) -> None:
        theirs = program("full", "topic")
        waiting = start("wait", theirs.label("full"))
        following = start("tail", "--from", "oldest", theirs.label("topic"))
        said_by = subprocess.run(
            [sys.executable, "-m", "conveyor", "put", theirs.label("topic"), "one"], timeout=60, check=True
        )
        assert said_by.returncode == 0
        assert os.read(following.out, 4) == b"one\n"
        while waiting.pid not in theirs.view("full").users:
            assert waiting.process.poll() is None
        theirs.kill()
        done = waiting.finish()
        assert done.code == 3
        assert "2 waiting" in done.err
        assert following.finish().code == 0


def waits_in(theirs: Program, pid: int) -> None:
    """Return when that process is seen to wait in the only queue of that program."""
    while True:
        [view] = survey().find(str(theirs.pid))
        if any(waiter.pid == pid for waiter in view.waiters):
            return
        os.kill(pid, 0)


class TestErrors:
    def test_it_has_gone_meanwhile(self, program: Callable[..., Program]) -> None:
        theirs = program("plain", "topic")
        views = [theirs.view("plain"), theirs.view("topic")]
        theirs.kill()
        theirs.running.process.wait(30)
        for view in views:
            with pytest.raises(conveyor.SegmentGone, match="let go of it, or ended"):
                Reached(view)

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
    def test_another_users_is_refused(self, program: Callable[..., Program]) -> None:
        theirs = program("plain")
        view = theirs.view("plain")
        reading, writing = os.pipe()
        if (child := os.fork()) == 0:
            try:
                os.setuid(65534)
                Reached(view)
            except BaseException as error:
                os.write(writing, f"{type(error).__name__}: {error}".encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as told:
            text = told.read()
        os.waitpid(child, 0)
        assert text.startswith("PermissionError: ")
        assert "another user" in text

    def test_a_dict_cannot_be_reached(self, program: Callable[..., Program]) -> None:
        with pytest.raises(conveyor.NotSupported, match="is dict"):
            Reached(program("dict").view("dict"))
