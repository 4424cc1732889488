"""`conveyor map --shell`: which program is run with which words, what of it is printed, and what it is spared."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from conveyor.cli.shell.template import Template

MIB = 1024 * 1024
# A child that says who it is, and lives until it is killed.
LIVES = "echo $$ >> {folder}/pids; sleep 1000 & echo $! >> {folder}/pids; wait"


def wait_lines(path: Path, count: int) -> list[str]:
    """The lines of a file, when it has so many."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        lines = path.read_text().split() if path.exists() else []
        if len(lines) >= count:
            return lines
        time.sleep(0.01)
    raise AssertionError(f"{path} has {lines}")


class TestWords:
    @pytest.mark.parametrize(
        ("command", "items", "printed"),
        [
            ("echo {}", ["a"], "a\n"),
            ("echo", ["a b"], "a b\n"),
            ("echo {.} {/} {//} {/.}", ["d/e/f.tar.gz"], "d/e/f.tar f.tar.gz d/e f.tar\n"),
            ("echo {//} {.}", ["f"], ". f\n"),
            ("echo {#} {}", ["a", "b"], "1 a\n2 b\n"),
            ("echo x{}y '{}z'", ["a  b"], "xa  by a  bz\n"),
            ('echo "{}" | cat', ["$(echo no) `echo no` \"'\\"], "$(echo no) `echo no` \"'\\\n"),
            ("echo '{}' | cat", ["it's"], "it's\n"),
            ("echo {} | cat", ["a  b; echo no"], "a  b; echo no\n"),
            ('echo "$(basename "{}")"', ["d/a  b"], "a  b\n"),
            ("echo `basename {}`", ["d/a_b"], "a_b\n"),
            ("echo $(( {} * (1 + {}) ))", ["3"], "12\n"),
            ("echo ${X:-{}} | cat", ["a"], "a\n"),
            ("{}", ["echo a; echo b"], "a\nb\n"),
            ("printf '<%s>' {}", ["*"], "<*>"),
            ("printf '<%s>' {} # {}", ["a"], "<a>"),
            ("echo {} {unknown} {0}", ["a"], "a {unknown} {0}\n"),
        ],
    )
    def test_items_are_words_and_nothing_else(
        self, run: Any, command: str, items: list[str], printed: str
    ) -> None:
        done = run("map", "-j1", "--shell", command, ":::", *items)
        assert (done.code, done.out, done.err) == (0, printed, "")

    def test_an_item_may_be_any_bytes(self, run: Any) -> None:
        data = bytes(range(1, 256)).replace(b"\n", b"")
        done = run("map", "-0", "--shell", "printf %s {}", stdin=data + b"\0")
        assert done.out.encode("utf-8", "surrogateescape") == data

    @pytest.mark.parametrize(
        "command", ["echo {} {.}", "cd / && echo {}", "echo '{}'", "echo \"{}\" '{/}' {}"]
    )
    def test_a_dry_run_prints_what_a_shell_would_do(self, run: Any, tmp_path: Path, command: str) -> None:
        items = ["a", "b c", "it's", '"$HOME" `x` \\', "d/e.f"]
        shown = run("map", "--dry-run", "--shell", command, ":::", *items, cwd=tmp_path)
        assert (shown.code, shown.err) == (0, "")
        typed = subprocess.run(["/bin/sh"], input=shown.out, text=True, capture_output=True, check=True)
        assert typed.stdout == run("map", "--shell", command, ":::", *items).out

    def test_no_shell_where_none_is_needed(self) -> None:
        assert Template("true -x {}").program([b"a b"], 1, 1).words == [b"true", b"-x", b"a b"]
        for needs in (
            "cd {}",
            "true {} | cat",
            "true $X {}",
            "nosuchprogram {}",
            "X=1 true {}",
            "true ~/{}",
            "true 'a",
        ):
            assert Template(needs).program([b"a"], 1, 1).words[1] == b"-c", needs

    def test_the_shell_may_be_chosen(self, run: Any) -> None:
        done = run("map", "--shell-path", "/bin/bash", "--shell", "echo {} ${BASH_VERSION:+bash}", ":::", "a")
        assert done.out == "a bash\n"
        assert (
            run(
                "map",
                "--shell",
                "echo ${BASH_VERSION:+bash} {}",
                ":::",
                "a",
                env={"PARALLEL_SHELL": "/bin/bash"},
            ).out
            == "bash a\n"
        )

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["--shell", " "], "the command is empty"),
            (["--shell", "echo {= s/a/b/ =}"], "is Perl"),
            (["--shell", "echo", "json:loads"], "both a function and --shell"),
            ([":::", "a"], "names no work"),
            (["--shell", "echo", "--jsonl"], "--jsonl is for functions"),
            (["json:loads", "--ungroup"], "--ungroup is for commands"),
            (["--shell", "echo", "--resume"], "--resume needs --joblog"),
            (["--shell", "echo", "-N", "0"], "-N is 0"),
            (["--shell", "echo", "--timeout", "soon"], "--timeout is 'soon'"),
            (["--shell", "echo", "--halt", "now,fail=0"], "--halt is 'now,fail=0'"),
            (["--shell", "echo", "--colsep", "("], "no regular expression"),
            (["--shell", "echo", "-k", "--unordered"], "only one of them"),
            (["--shell", "echo", "-a", "/nosuchfile"], "/nosuchfile cannot be read: No such file"),
            (["--shell", "echo", "--joblog", "/nosuch/file"], "--joblog: /nosuch/file: No such file"),
        ],
    )
    def test_what_is_wrong_is_said(self, run: Any, words: list[str], said: str) -> None:
        done = run("map", *words)
        assert done.code == 2
        assert said in done.err
        assert done.out == ""


class TestOutput:
    def test_is_whole_and_in_order(self, run: Any) -> None:
        command = "for i in 1 2 3 4 5; do echo {} $i; echo e{} $i >&2; sleep 0.01; done"
        done = run("map", "-j4", "--shell", command, ":::", *"abcdef")
        assert done.lines == [f"{item} {n}" for item in "abcdef" for n in range(1, 6)]
        assert done.err.splitlines() == [f"e{item} {n}" for item in "abcdef" for n in range(1, 6)]

    def test_of_any_size_takes_little_memory(self, run: Any) -> None:
        """Each command writes 300 MiB; the process may have 1 GiB of address space beside what it has mapped."""
        program = (
            "import hashlib, resource, subprocess, sys\n"
            "child = subprocess.Popen([sys.executable, '-m', 'conveyor', 'map', '-j2', '--shell', "
            "'head -c 300M /dev/zero | tr \"\\\\0\" {}', ':::', 'a', 'b'], stdout=subprocess.PIPE)\n"
            "digest = hashlib.sha256()\n"
            "while data := child.stdout.read(1 << 20): digest.update(data)\n"
            "assert child.wait() == 0\n"
            "print(digest.hexdigest(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
        )
        found, kibibytes = subprocess.check_output([sys.executable, "-c", program], text=True).split()
        expected = hashlib.sha256()
        for letter in (b"a", b"b"):
            for _ in range(300):
                expected.update(letter * MIB)
        assert found == expected.hexdigest()
        assert int(kibibytes) < 150 * 1024

    def test_what_a_command_leaves_behind_is_not_waited_for(self, run: Any, tmp_path: Path) -> None:
        done = run("map", "--shell", f"sleep 1000 & echo $! > {tmp_path}/pid; echo {{}}", ":::", "a")
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
        assert (done.code, done.out) == (0, "a\n")

    def test_tags(self, run: Any) -> None:
        command = "printf 'x\\ny\\n'; echo {} >&2"
        done = run("map", "--tag", "--shell", command, ":::", "a", "b")
        assert done.out == "a\tx\na\ty\nb\tx\nb\ty\n"
        assert done.err == "a\ta\nb\tb\n"
        assert run("map", "--tagstring", "<{#}:{/}>", "--shell", "echo", ":::", "d/a").out == "<1:a>\td/a\n"

    def test_a_last_line_without_an_end_stays_so(self, run: Any) -> None:
        assert run("map", "--tag", "--shell", "printf 'x\\ny' # {}", ":::", "a").out == "a\tx\na\ty"

    def test_ungrouped_comes_at_once(self, start: Any, read_until: Any, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "gate")
        running = start("map", "-u", "--shell", f"echo {{}}; cat {tmp_path}/gate; echo end", ":::", "a")
        read_until(running.out, lambda data: data == b"a\n")
        (tmp_path / "gate").write_text("through\n")
        assert running.finish().out == "through\nend\n"

    def test_results_are_kept_as_gnu_parallel_keeps_them(self, run: Any, tmp_path: Path) -> None:
        done = run(
            "map",
            "--results",
            "kept",
            "--shell",
            "echo {1}{2}; echo e >&2",
            ":::",
            "a/b",
            ":::",
            "c",
            cwd=tmp_path,
        )
        assert done.out == "a/bc\n"
        folder = tmp_path / "kept" / "1" / "a\\_b" / "2" / "c"
        assert (folder / "stdout").read_text() == "a/bc\n"
        assert (folder / "stderr").read_text() == "e\n"
        assert (folder / "seq").read_text() == "1\n"


class TestWhatACommandHas:
    def test_no_input_and_no_descriptors_of_ours(self, run: Any, tmp_path: Path) -> None:
        done = run("map", "--shell", "ls -l /proc/self/fd {}", ":::", "-n")
        names = [line.split()[-3:] for line in done.lines[1:]]
        assert [name[0] for name in names] == ["0", "1", "2", "3"]  # the last is the folder that ls reads
        assert names[0][2] == "/dev/null"

    def test_signals_as_usual(self, run: Any) -> None:
        """Python ignores SIGPIPE, which a command that writes into a closed pipe must not."""
        done = run("map", "--shell", "grep -E '^Sig(Blk|Ign):' /proc/self/status # {}", ":::", "a")
        usual = subprocess.run(
            ["grep", "-E", "^Sig(Blk|Ign):", "/proc/self/status"], capture_output=True, text=True
        )
        assert done.out == usual.stdout  # what was ignored before Python began stays so
        blocked, ignored = (int(line.split()[1], 16) for line in done.lines)
        assert blocked == 0
        assert not ignored & 1 << (signal.SIGPIPE - 1)

    def test_a_session_of_its_own(self, run: Any) -> None:
        done = run("map", "--shell", "cut -d' ' -f1,5,6 /proc/self/stat # {}", ":::", "a")
        _, group, session = done.out.split()
        assert group == session != str(os.getsid(0))

    def test_environment_and_folder(self, run: Any, tmp_path: Path) -> None:
        done = run("map", "--shell", "echo $GIVEN $PWD {}", ":::", "a", env={"GIVEN": "x"}, cwd=tmp_path)
        assert done.out == f"x {tmp_path} a\n"

    def test_slots_are_used_again(self, run: Any, numbers: Any) -> None:
        done = run("map", "-j3", "--shell", "echo {%} # {}", stdin=numbers(30))
        assert {*done.lines} <= {"1", "2", "3"}


class TestFailures:
    def test_exit_codes_and_signals(self, run: Any) -> None:
        done = run("map", "-j1", "--shell", "{}", ":::", "exit 3", "kill -9 $$", "true")
        assert done.code == 1
        assert "item 1 'exit 3': exit code 3" in done.err
        assert "item 2 'kill -9 $$': killed by SIGKILL" in done.err
        assert "1 done, 2 failed" in done.err

    def test_what_cannot_be_started(self, run: Any, tmp_path: Path) -> None:
        broken = tmp_path / "broken"
        broken.write_text("#!/nosuchinterpreter\n")
        broken.chmod(0o755)
        done = run("map", "--shell", f"{broken} {{}}", ":::", "a")
        assert done.code == 1
        assert "the command cannot be started: No such file or directory" in done.err
        done = run("map", "-0", "--shell", "echo {}", stdin="x" * 200_000)
        assert "the command cannot be started: Argument list too long" in done.err

    def test_also_where_sigchld_was_ignored(self) -> None:
        words = [sys.executable, "-m", "conveyor", "map", "--shell", "exit 3 # {}", ":::", "a"]
        done = subprocess.run(
            ["bash", "-c", 'trap "" CHLD; exec "$@"', "bash", *words],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert "exit code 3" in done.stderr

    def test_more_jobs_than_descriptors(self, run: Any) -> None:
        limit = 64  # of which 8 commands take 40
        words = [sys.executable, "-m", "conveyor", "map", "--shell", "sleep 0.05; echo {}", "-j"]
        for jobs, code in (("8", 0), ("9", 2)):
            script = f'ulimit -n {limit}; exec "$@" {jobs} ::: {" ".join(map(str, range(40)))}'
            done = subprocess.run(
                ["bash", "-c", script, "bash", *words], capture_output=True, text=True, check=False
            )
            assert done.returncode == code, done.stderr
            assert ("8 commands can run at a time" in done.stderr) == (code == 2)

    def test_output_of_a_failed_one_has_its_place(self, run: Any) -> None:
        done = run("map", "-j2", "--shell", "echo {}; exit {}", ":::", "0", "1", "0")
        assert done.out == "0\n1\n0\n"
        assert "2 done, 1 failed" in done.err

    def test_retries(self, run: Any, tmp_path: Path) -> None:
        command = f"echo {{}} >> {tmp_path}/log; test $(wc -l < {tmp_path}/log) -ge 3"
        done = run("map", "-j1", "--retries", "2", "--shell", command, ":::", "a")
        assert (done.code, done.err) == (0, "")
        done = run("map", "-j1", "--retries", "2", "--shell", "exit 4", ":::", "a")
        assert "exit code 4 (tried 3 times)" in done.err

    def test_a_time_limit_ends_all_that_it_started(self, run: Any, tmp_path: Path, wait_dead: Any) -> None:
        done = run(
            "map", "--timeout", "300ms", "--shell", LIVES.format(folder=tmp_path) + " # {}", ":::", "a", "b"
        )
        assert done.code == 1
        assert done.err.count("timed out after 0.3 s") == 2
        for pid in wait_lines(tmp_path / "pids", 4):
            wait_dead(int(pid))

    def test_one_that_ignores_sigterm_is_killed(self, run: Any) -> None:
        done = run(
            "map", "--timeout", "0.2", "--shell", "trap '' TERM; while :; do sleep 1; done # {}", ":::", "a"
        )
        assert "timed out" in done.err

    @pytest.mark.parametrize(
        ("halt", "code", "printed"),
        [
            ("now", 1, ["a"]),
            ("2", 1, ["a"]),
            ("now,fail=2", 1, ["a"]),
            ("now,fail=30%", 1, ["a"]),
            ("now,success=1", 0, ["a"]),
            ("never", 1, ["a", "d", "e"]),
        ],
    )
    def test_halt(self, run: Any, halt: str, code: int, printed: list[str]) -> None:
        """b and c fail; what is begun before that is known takes long enough to be ended."""
        command = "case {} in b|c) exit 1;; d|e) sleep 1;; esac; echo {}"
        done = run("map", "-j1", "--halt", halt, "--shell", command, ":::", *"abcde")
        assert (done.code, done.lines) == (code, printed)

    def test_halt_soon_finishes_what_has_begun(self, run: Any, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "gate")
        gate = tmp_path / "gate"
        command = f"case {{}} in a) cat {gate};; b) echo through > {gate}; exit 1;; *) sleep 0.2;; esac"
        done = run("map", "-j2", "--halt", "soon", "--shell", command, ":::", "a", "b", *"c" * 100)
        assert (done.code, done.out) == (1, "through\n")
        assert "read but not begun" in done.err


class TestEnd:
    def started(self, start: Any, folder: Path, count: int = 2) -> tuple[Any, list[int]]:
        running = start("map", "-j2", "--shell", LIVES.format(folder=folder) + " # {}", terminal="stderr")
        running.send("a\nb\n")
        return running, [int(pid) for pid in wait_lines(folder / "pids", 2 * count)]

    def test_ctrl_c_twice_ends_them(
        self, start: Any, tmp_path: Path, read_until: Any, wait_dead: Any
    ) -> None:
        running, pids = self.started(start, tmp_path)
        os.write(running.terminal, b"\x03")
        read_until(running.terminal, lambda data: b"finishing 2 items" in data)
        for pid in pids:
            os.kill(pid, 0)  # the keys reach nobody but conveyor
        os.write(running.terminal, b"\x03")
        assert running.finish().code == 130
        for pid in pids:
            wait_dead(pid)

    def test_ctrl_c_once_finishes_them(self, start: Any, tmp_path: Path, read_until: Any) -> None:
        os.mkfifo(tmp_path / "gate")
        command = f"echo {{}} >> {tmp_path}/begun; cat {tmp_path}/gate; echo {{}}"
        running = start("map", "-j1", "--shell", command, terminal="stderr")
        running.send("a\n" + "b\n" * 100)
        wait_lines(tmp_path / "begun", 1)
        os.write(running.terminal, b"\x03")
        read_until(running.terminal, lambda data: b"stops now" in data)
        (tmp_path / "gate").write_text("")
        done = running.finish()
        assert (done.code, done.out) == (0, "a\n")

    def test_killed_it_takes_its_commands_along(self, start: Any, tmp_path: Path, wait_dead: Any) -> None:
        running, pids = self.started(start, tmp_path)
        os.kill(running.pid, signal.SIGKILL)
        for pid in pids:
            wait_dead(pid)

    def test_a_reader_that_leaves_ends_them(
        self, start: Any, read_until: Any, tmp_path: Path, wait_dead: Any
    ) -> None:
        command = f"echo {{}}; test {{}} = a || ({LIVES.format(folder=tmp_path)})"
        running = start("map", "-j2", "--unordered", "--shell", command)
        running.send("b\nc\n")
        pids = [int(pid) for pid in wait_lines(tmp_path / "pids", 4)]
        running.close_out()
        assert running.process.wait(30) == 0
        for pid in pids:
            wait_dead(pid)


def test_much_output_where_no_file_can_be_without_a_name(environment: dict[str, str], tmp_path: Path) -> None:
    """It is kept in files that have lost their name, each another one, that nobody else can open."""
    spool = tmp_path / "spool"
    spool.mkdir()
    seen = f"echo; stat -L -c %a,%h /proc/$PPID/fd/* | grep ,0$ | grep -v ^777 | sort -u; ls {spool}"
    command = f"head -c 3M /dev/zero | tr '\\0' {{}}; {seen}"
    program = [
        sys.executable,
        Path(__file__).with_name("without_tmpfile.py"),
        sys.executable,
        "-m",
        "conveyor",
    ]
    done = subprocess.run(
        [*program, "map", "-j2", "--joblog", tmp_path / "log", "--shell", command, ":::", "a", "b"],
        env={**environment, "TMPDIR": str(spool)},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    outputs = done.stdout.split(b"\n")
    assert outputs == [b"a" * 3 * MIB, b"600,0", b"b" * 3 * MIB, b"600,0", b""]
    assert not list(spool.iterdir())
    assert (tmp_path / "log").read_text().count("\n") == 3
