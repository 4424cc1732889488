"""Errors that say what is wrong: unpicklable exceptions, results that cannot be sent, functions that fork."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from waiting import is_gone, wait_until

from conveyor import Failure, Pipeline, StageError


class Unpicklable(Exception):
    """Holds what no pickle can."""

    def __init__(self, item: int) -> None:
        super().__init__(f"no {item}")
        self.item = item
        self.lock = threading.Lock()


def local_class() -> type[Exception]:
    class Local(Exception):
        pass

    return Local


LOCAL = local_class()


def fails(item: int) -> int:
    if item == 3:
        raise Unpicklable(item)
    return item


async def async_fails(item: int) -> int:
    return fails(item)


def fails_with_a_cause(item: int) -> int:
    try:
        return fails(item)
    except Unpicklable as error:
        raise LOCAL("mine") from error


class SetupsFailTogether:
    """Each worker has one of its own, and waits for the other's."""

    both = threading.Barrier(2)

    def setup(self) -> None:
        self.both.wait(30)
        raise ConnectionError("no database")

    def __call__(self, item: int) -> int:
        return item


def test_what_several_workers_say_is_said_once() -> None:
    with pytest.raises(ConnectionError, match="no database") as caught:
        Pipeline(range(30)).map(SetupsFailTogether, threads=2).run()
    assert len(caught.value.__notes__) == 1


def here(kind: str) -> Pipeline[Any]:
    pipeline = Pipeline(range(10))
    return pipeline.map(fails, threads=2) if kind == "threads" else pipeline.map(async_fails, concurrency=2)


@pytest.mark.parametrize("kind", ["threads", "coroutines"])
class TestInThisProcess:
    """An exception need not be pickled: it comes as it was raised."""

    def test_its_type(self, kind: str) -> None:
        with pytest.raises(Unpicklable) as caught:
            here(kind).to(list).run()
        assert caught.value.item == 3
        assert any("on item 3" in note for note in caught.value.__notes__)
        assert "in fails" in str(caught.value.__cause__)  # where it was raised

    def test_of_a_failure(self, kind: str) -> None:
        (failure,) = (one for one in here(kind).stream(outcomes=True) if isinstance(one, Failure))
        error = failure.exception()
        assert isinstance(error, Unpicklable)
        assert error.__traceback__ is None  # the failure may be kept; what is in the frames must not be
        # Elsewhere it is told by its text.
        sent = pickle.loads(pickle.dumps(failure))
        assert (sent, type(sent.exception())) == (failure, StageError)

    def test_in_setup(self, kind: str) -> None:
        class Stage:
            def setup(self) -> None:
                raise Unpicklable(1)

            def __call__(self, item: int) -> int:
                return item

        class AsyncStage(Stage):
            async def __call__(self, item: int) -> int:  # type: ignore[override]
                return item

        pipeline = Pipeline(range(3))
        with pytest.raises(Unpicklable):
            if kind == "threads":
                pipeline.map(Stage, threads=1).run()
            else:
                pipeline.map(AsyncStage, concurrency=1).run()


def test_what_it_came_of_is_kept() -> None:
    with pytest.raises(LOCAL) as caught:
        Pipeline(range(10)).map(fails_with_a_cause, threads=1).run()
    shown = caught.value.__cause__
    assert shown is not None
    assert isinstance(shown.__cause__, Unpicklable)


def test_an_exception_that_can_be_pickled_only_here_passes_a_process_stage() -> None:
    pipeline = Pipeline(range(5), ordered=True).map(fails, threads=1, on_error="yield").map(abs, workers=1)
    kinds = [type(one) for one in pipeline.stream()]
    assert kinds == [int, int, int, Failure, int]


def generator(item: int) -> Iterator[int]:
    yield item


def lock_on_three(item: int) -> Any:
    return threading.Lock() if item == 3 else item


def many_locks(item: int) -> Any:
    return [item, threading.Lock()] if item == 3 else [item]


def very_many(item: int) -> Iterator[Any]:
    for number in range(5000):
        yield threading.Lock() if (item, number) == (3, 1500) else number


class TestResults:
    @pytest.mark.parametrize("method", ["fork", "spawn"])
    def test_a_generator(self, method: Any) -> None:
        with pytest.raises(TypeError) as caught:
            Pipeline(range(5)).map(generator, workers=1).run(start_method=method)
        said = "".join(caught.value.__notes__)
        assert "the result, of type generator, cannot be sent to the program" in said
        assert "or say flat_map()" in said
        assert "in stage 'generator' on item 0" in said

    @pytest.mark.parametrize(
        ("kind", "function", "said"),
        [
            ("map", lock_on_three, "the result, of type lock, cannot be sent"),
            ("flat_map", many_locks, "one of the results cannot be sent"),
        ],
    )
    def test_others_go_on(self, kind: str, function: Callable[[int], Any], said: str) -> None:
        pipeline = getattr(Pipeline(range(6)), kind)(function, workers=1, on_error="skip")
        report = pipeline.to(set).run()
        assert report.result == {0, 1, 2, 4, 5}
        (failure,) = report.first_failures
        assert (failure.item, failure.kind) == (3, "TypeError")
        assert said in failure.message
        assert "cannot pickle" in failure.message

    def test_one_of_very_many(self) -> None:
        with pytest.raises(TypeError) as caught:
            Pipeline([3]).flat_map(very_many, workers=1).run()
        assert any("one of the results cannot be sent" in note for note in caught.value.__notes__)

    def test_with_a_key(self) -> None:
        stage = Pipeline(range(6)).map(lock_on_three, workers=1, key=abs, on_error="skip").to(set)
        assert stage.run().result == {0, 1, 2, 4, 5}

    def test_in_a_thread_it_need_not_be(self) -> None:
        (result,) = Pipeline([3]).map(lock_on_three, threads=1).stream()
        assert isinstance(result, type(threading.Lock()))


class Forks:
    """Forks on some items, and returns, or raises, in both processes."""

    def __init__(self, folder: str, how: str = "returns") -> None:
        self.folder = folder
        self.how = how

    def __call__(self, item: int) -> int:
        if item % 5 == 3:
            child = os.fork()
            if child:
                Path(self.folder, str(child)).touch()
                os.waitpid(child, 0)
            if self.how == "raises":
                raise ValueError("in both")
            if self.how == "raises in the child" and not child:
                raise ValueError("in the child")
        return item

    def teardown(self) -> None:
        with Path(self.folder, "teardowns").open("a") as file:
            file.write("x")


@pytest.mark.parametrize("where", [{"workers": 1}, {"threads": 1}, {"workers": 1, "key": abs}], ids=str)
@pytest.mark.parametrize("how", ["returns", "raises", "raises in the child"])
def test_a_function_that_forks(where: dict[str, Any], how: str, tmp_path: Path, capfd: Any) -> None:
    report = Pipeline(range(10)).map(Forks(str(tmp_path), how), on_error="skip", **where).to(list).run()
    expected = {0, 1, 2, 4, 5, 6, 7, 9} if how == "raises" else set(range(10))
    assert sorted(report.result) == sorted(expected)
    assert report.stages[1].deaths == 0
    children = [path for path in tmp_path.iterdir() if path.name.isdigit()]
    assert len(children) == 2
    for path in children:
        wait_until(lambda path=path: is_gone(int(path.name)))
    assert (tmp_path / "teardowns").read_text() == "x"  # not the children's
    assert capfd.readouterr().err.count("a function forked, and returned in the child") == 2


def test_an_async_function_that_forks(tmp_path: Path) -> None:
    """In a program of its own: its child is a copy of what runs the event loop."""
    program = tmp_path / "program.py"
    program.write_text(
        "import os\n"
        "from conveyor import Pipeline\n"
        "async def work(item):\n"
        "    child = os.fork()\n"
        "    if child:\n"
        "        os.waitpid(child, 0)\n"
        "    return item\n"
        "print(sum(Pipeline(range(5)).map(work, concurrency=1).stream()))\n"
    )
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=50, check=True)
    assert done.stdout == "10\n"


def run_a_program(item: int) -> int:
    return item + int(subprocess.check_output([sys.executable, "-c", "print(1)"]))


def run_a_process(item: int) -> int:
    import multiprocessing

    with multiprocessing.get_context("fork").Pool(1) as pool:
        return int(pool.apply(abs, (-item,)))


def test_functions_may_have_children() -> None:
    assert set(Pipeline(range(3)).map(run_a_program, workers=1).stream()) == {1, 2, 3}
    assert set(Pipeline(range(3)).map(run_a_process, workers=1).stream()) == {0, 1, 2}
