"""Worker processes that cannot begin: one sentence, at once, that says what to do; and where they can, after all."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest
from stages import pid_of, same
from waiting import is_gone, wait_until

from conveyor import Pipeline

ANEW = ["spawn", "forkserver"]
METHODS = ["fork", *ANEW]
# The whole of what a program may write when it fails, the traceback of the call and that of a worker included.
MOST_LINES = 60

HEAD = """
import sys; sys.modules["cloudpickle"] = None  # with which some would run
from conveyor import Pipeline
"""
WORK = """
def work(item):
    return item
"""
RUN = """
print(sum(Pipeline(range(10)).map(work, workers=4).to(list).run(start_method={method!r}).result))
"""
GUARD = """
if __name__ == "__main__":"""


def indented(text: str) -> str:
    return text.replace("\n", "\n    ")


def run(*arguments: Any, stdin: str | None = None, cwd: Path) -> tuple[str, str, int]:
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        cwd=cwd,
    )
    return done.stdout, done.stderr, done.returncode


def failure(*arguments: Any, stdin: str | None = None, cwd: Path) -> str:
    """The last line of what a program says that cannot run."""
    out, err, code = run(*arguments, stdin=stdin, cwd=cwd)
    assert (out, code) == ("", 1), err
    lines = err.strip().splitlines()
    assert len(lines) < MOST_LINES, err
    return lines[-1]


@pytest.mark.parametrize("method", ANEW)
class TestMainModules:
    def program(self, folder: Path, *parts: str, method: str) -> Path:
        path = folder / "program.py"
        path.write_text("".join(parts).format(method=method))
        return path

    def test_a_function_under_a_guard_that_is_not_needed(self, method: str, tmp_path: Path) -> None:
        program = self.program(tmp_path, HEAD, WORK, GUARD, indented(RUN), method=method)
        assert run(program, cwd=tmp_path) == ("45\n", "", 0)

    def test_no_guard(self, method: str, tmp_path: Path) -> None:
        said = failure(self.program(tmp_path, HEAD, WORK, RUN, method=method), cwd=tmp_path)
        assert said.startswith("conveyor.errors.PipelineError: stage 'work': a worker process")
        assert f"started by {method}" in said
        assert "program.py" in said
        assert said.endswith('put what runs the pipeline under if __name__ == "__main__":')

    def test_no_guard_in_a_function_that_wraps_all_errors(self, method: str, tmp_path: Path) -> None:
        leaves = "\n    print('told', error, file=sys.stderr)\n    sys.exit(1)\n"
        wrapped = "\ntry:" + indented(RUN) + f"\nexcept Exception as error:{leaves}"
        said = failure(self.program(tmp_path, HEAD, WORK, wrapped, method=method), cwd=tmp_path)
        assert said.startswith("told stage 'work': a worker process")
        assert "put what runs the pipeline under" in said

    def test_processes_of_the_standard_librarys_without_a_guard(self, method: str, tmp_path: Path) -> None:
        other = "\nimport multiprocessing\nif __name__ != '__main__':\n    multiprocessing.Pool(1)\n"
        program = self.program(tmp_path, HEAD, WORK, other, GUARD, indented(RUN), method=method)
        assert "put what runs the pipeline under" in failure(program, cwd=tmp_path)

    def test_a_function_behind_the_guard(self, method: str, tmp_path: Path) -> None:
        program = self.program(tmp_path, HEAD, GUARD, indented(WORK), indented(RUN), method=method)
        said = failure(program, cwd=tmp_path)
        assert "Can't get attribute 'work'" in said
        assert "define it at the top of a module" in said

    def test_a_main_module_that_raises(self, method: str, tmp_path: Path) -> None:
        raises = "\nif __name__ != '__main__':\n    raise OSError('no such thing')\n"
        program = self.program(tmp_path, HEAD, WORK, raises, GUARD, indented(RUN), method=method)
        said = failure(program, cwd=tmp_path)
        assert "OSError: no such thing (program.py:9 in <module>)" in said
        assert "belongs under if __name__" in said

    def test_a_main_module_that_exits(self, method: str, tmp_path: Path) -> None:
        leaves = "\nif __name__ != '__main__':\n    sys.exit(3)\n"
        program = self.program(tmp_path, HEAD, WORK, leaves, GUARD, indented(RUN), method=method)
        assert "SystemExit: 3" in failure(program, cwd=tmp_path)

    def test_a_module_that_a_worker_cannot_import(self, method: str, tmp_path: Path) -> None:
        made = "\nimport types\nmodule = sys.modules['made'] = types.ModuleType('made')\n"
        made += "exec('def work(item): return item', vars(module))\nwork = module.work\n"
        program = self.program(tmp_path, HEAD, GUARD, indented(made), indented(RUN), method=method)
        said = failure(program, cwd=tmp_path)
        assert "ModuleNotFoundError: No module named 'made'" in said

    def test_standard_input(self, method: str, tmp_path: Path) -> None:
        text = "".join([HEAD, WORK, RUN]).format(method=method)
        said = failure("-", stdin=text, cwd=tmp_path)
        assert "work is defined in a program from standard input, which cannot be imported" in said
        assert "define it in a file and import it from there" in said

    def test_a_command_line(self, method: str, tmp_path: Path) -> None:
        said = failure("-c", "".join([HEAD, WORK, RUN]).format(method=method), cwd=tmp_path)
        assert 'work is defined in python -c "...", which cannot be imported' in said

    def test_an_interactive_session(self, method: str, tmp_path: Path) -> None:
        text = "".join([HEAD, WORK, "\n", RUN]).format(method=method)
        _, said, _ = run("-i", "-q", stdin=text, cwd=tmp_path)
        assert "work is defined in a notebook, or another interactive session" in said
        assert len(said.splitlines()) < MOST_LINES

    def test_the_main_module_of_a_package(self, method: str, tmp_path: Path) -> None:
        package = tmp_path / "package"
        package.mkdir()
        (package / "__init__.py").touch()
        (package / "__main__.py").write_text("".join([HEAD, WORK, RUN]).format(method=method))
        assert "work is defined in the main module of package" in failure("-m", "package", cwd=tmp_path)

    @pytest.mark.parametrize("given", ["a class", "part of a call", "part of an object"])
    def test_what_is_found_in_an_unimportable_module(self, method: str, given: str, tmp_path: Path) -> None:
        work = {
            "a class": "class work:\n    def __call__(self, item):\n        return item\n",
            "part of a call": "import functools\nwork = functools.partial(max, key=lambda_)\n",
            "part of an object": "import functools\nwork = functools.partial(print, sep=thing())\n",
        }[given]
        before = "\ndef lambda_(x):\n    return x\nclass thing:\n    pass\n"
        said = failure("-", stdin="".join([HEAD, before, work, RUN]).format(method=method), cwd=tmp_path)
        assert "is defined in a program from standard input" in said

    def test_functions_that_can_be_imported(self, method: str, tmp_path: Path) -> None:
        """From a program on standard input, of which `multiprocessing` can start no process at all."""
        (tmp_path / "tools.py").write_text(WORK)
        text = HEAD + "from tools import work\n" + RUN.format(method=method)
        assert run("-", stdin=text, cwd=tmp_path) == ("45\n", "", 0)
        assert run("-c", text, cwd=tmp_path) == ("45\n", "", 0)

    @pytest.mark.parametrize("name", ["types.py", "signal.py", "struct/__init__.py"])
    def test_a_file_that_hides_a_module(self, method: str, name: str, tmp_path: Path) -> None:
        """A new interpreter looks into the current folder first; the program itself is elsewhere."""
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        program = self.program(elsewhere, HEAD, WORK, GUARD, indented(RUN), method=method)
        here = tmp_path / "here"
        (here / name).parent.mkdir(parents=True)
        (here / name).touch()
        _, err, code = run(program, cwd=here)
        assert code == 1
        module = Path(name).parts[0].removesuffix(".py")
        last = [line for line in err.splitlines() if line.startswith("conveyor.errors.")][-1]
        assert last.startswith("conveyor.errors.WorkerPoolBroken: no worker process")
        assert last.endswith(
            f"{here / Path(name).parts[0]} hides the standard library's module {module!r}: rename it"
        )


def test_what_a_new_interpreter_says_is_not_lost(tmp_path: Path) -> None:
    """Standard error is kept back only until conveyor's code runs."""
    (tmp_path / "sitecustomize.py").write_text("import sys\nprint('hello', file=sys.stderr)\n")
    program = tmp_path / "program.py"
    text = (
        "".join([HEAD, WORK, GUARD, indented(RUN)]).format(method="spawn").replace("workers=4", "workers=1")
    )
    program.write_text(text)
    done = subprocess.run(
        [sys.executable, program],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )
    assert (done.stdout, set(done.stderr.split())) == ("45\n", {"hello"})


def test_standard_error_may_be_closed(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("".join([HEAD, WORK, GUARD, indented(RUN)]).format(method="spawn"))
    done = subprocess.run(
        ["sh", "-c", f"exec {sys.executable} {program} 2>&-"], capture_output=True, timeout=50, check=True
    )
    assert done.stdout == b"45\n"


def run_in_daemon(method: Any, results: Any) -> None:
    results.put(Pipeline(iter(range(10))).map(same, workers=2).to(set).run(start_method=method).result)


def run_until_killed(method: Any, folder: str) -> None:
    def note(pid: int) -> None:
        Path(folder, str(pid)).touch()

    def endless() -> Any:
        while True:
            yield 1

    Pipeline(endless).map(pid_of, workers=2).to(note).run(start_method=method)


@pytest.mark.parametrize("method", METHODS)
class TestDaemons:
    """A daemonic process, such as a `Pool`'s worker, may have workers: they do not outlive it."""

    def test_a_run(self, method: str) -> None:
        context = multiprocessing.get_context("fork")
        results = context.SimpleQueue()
        process = context.Process(target=run_in_daemon, args=(method, results), daemon=True)
        process.start()
        process.join(40)
        assert process.exitcode == 0
        assert results.get() == set(range(10))
        results.close()
        process.close()

    def test_in_a_pool(self, method: str) -> None:
        with multiprocessing.get_context("fork").Pool(1) as pool:
            assert pool.apply(total, (method,)) == 45
        pool.join()

    def test_its_end(self, method: str, tmp_path: Path) -> None:
        context = multiprocessing.get_context("fork")
        process = context.Process(target=run_until_killed, args=(method, str(tmp_path)), daemon=True)
        process.start()
        wait_until(lambda: len(list(tmp_path.iterdir())) >= 2)
        process.kill()
        process.join()
        process.close()
        for path in tmp_path.iterdir():
            wait_until(lambda path=path: is_gone(int(path.name)))


def test_a_fork_server_of_the_process_that_forked() -> None:
    """A fork server serves the program already: the forked child starts one of its own."""
    assert total("forkserver") == 45
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    process = context.Process(target=run_in_daemon, args=("forkserver", results))
    process.start()
    process.join(40)
    assert process.exitcode == 0
    assert results.get() == set(range(10))
    results.close()
    process.close()
    assert total("forkserver") == 45


def test_a_fork_server_that_somebody_else_has_waited_for() -> None:
    assert total("forkserver") == 45
    server = forkserver._forkserver._forkserver_pid
    os.kill(server, signal.SIGKILL)
    os.waitpid(server, 0)
    assert total("forkserver") == 45


def total(method: Any) -> int:
    return sum(Pipeline(range(10)).map(same, workers=2).to(list).run(start_method=method).result)
