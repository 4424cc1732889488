"""`run(resume=…)` of several sources: after the death of everything a second run goes on, and no item is left out."""

from __future__ import annotations

import datetime
import hashlib
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from checkpointed import COUNT
from stages import double, fail_on_seven, first_of, merge_add, same
from test_checkpoints import lines_of, run_until_done

from conveyor import Again, Pipeline, PipelineError, Queue, keyed
from conveyor.pipeline.sources.keyed import digest_of


class TestSourcesThatMeet:
    @pytest.mark.parametrize(("kind", "method"), [("merge", "spawn"), ("zip", "fork")])
    def test_killed_again_and_again(self, kind: str, method: str, tmp_path: Path) -> None:
        (tmp_path / "in").write_text("".join(f"{number}\n" for number in range(COUNT)))
        assert run_until_done(tmp_path, kind, method, seed=5) == 2
        if kind == "merge":
            wanted = {*map(str, range(COUNT)), *map(str, range(1, COUNT, 3))}
            count = COUNT + 2 * COUNT // 3
        else:
            wanted = {f'[{number},"{number}"]' for number in range(COUNT)}
            count = 2 * COUNT
        assert set(lines_of(tmp_path / "out")) == wanted
        _, taken, resumed = (tmp_path / "result").read_text().split()
        assert int(taken) + int(resumed) == count
        assert int(resumed) > 0

    def test_each_source_has_places_of_its_own(self, tmp_path: Path) -> None:
        merged = Pipeline.merge(range(100), Pipeline(range(50)).map(double, workers=1)).reduce(merge_add, 0)
        assert merged.run(resume=tmp_path / "state.db").result == sum(range(100)) + 2 * sum(range(50))
        again = merged.run(resume=tmp_path / "state.db")
        assert (again.taken, again.resumed, again.result) == (0, 150, sum(range(100)) + 2 * sum(range(50)))
        with pytest.raises(
            PipelineError, match=r"made for another source: range\(0, 100\) and range\(0, 50\)"
        ):
            Pipeline.merge(range(100), range(51)).reduce(merge_add, 0).run(resume=tmp_path / "state.db")

    def test_one_without_places(self, tmp_path: Path) -> None:
        merged = Pipeline.merge([1], iter([2])).map(same, threads=1)
        with pytest.raises(PipelineError, match="a list_iterator has none"):
            merged.run(resume=tmp_path / "state.db")

    def test_a_zip_of_what_may_differ(self, tmp_path: Path) -> None:
        zipped: Any = Pipeline.zip([1], Pipeline([2]).map(same, threads=2))
        with pytest.raises(PipelineError, match="'zip' has what comes out of 'same'"):
            zipped.run(resume=tmp_path / "state.db")
        with pytest.raises(PipelineError, match="'zip' has what comes out of 'merge'"):
            Pipeline.merge([1], [2]).zip([3]).run(resume=tmp_path / "state.db")
        assert not (tmp_path / "state.db").exists()


async def rows_from_afar() -> AsyncIterator[tuple[str, int]]:
    for number in range(10):
        yield f"key {number}", number


def visits(number: int) -> list[Any]:
    return [number] if number > 5 or not number else [number, Again(10 * number)]


class TestKeyed:
    def test_killed_again_and_again(self, tmp_path: Path) -> None:
        assert run_until_done(tmp_path, "keyed", "fork", seed=7) == 2
        assert set(lines_of(tmp_path / "out")) == set(map(str, range(COUNT)))
        _, taken, resumed = (tmp_path / "result").read_text().split()
        assert int(taken) + int(resumed) == COUNT
        assert int(resumed) > 0

    def test_only_what_is_new(self, tmp_path: Path) -> None:
        state = tmp_path / "state.db"
        stage = Pipeline(keyed(["a", "b"])).map(same, workers=1).to(list)
        assert sorted(stage.run(resume=state).result) == ["a", "b"]
        again = (
            Pipeline(keyed(word for word in ("c", "b", "d", "a")))
            .map(same, workers=1)
            .to(list)
            .run(resume=state)
        )
        assert sorted(again.result) == ["c", "d"]
        assert again.resumed == 2
        assert Pipeline(keyed({"a": 1, "d": 2})).to(list).run(resume=state).result == []

    def test_sources_of_every_kind(self, tmp_path: Path) -> None:
        for number, source in enumerate(
            (rows_from_afar, rows_from_afar(), [("key 1", 1)], iter([("key 2", 2)]))
        ):
            state = tmp_path / f"{number}.db"
            stage = Pipeline(keyed(source, key=first_of)).map(same, threads=1).to(list)
            done = len(stage.run(resume=state).result)
            again = (
                Pipeline(keyed(rows_from_afar, key=first_of)).map(same, threads=1).to(list).run(resume=state)
            )
            assert len(again.result) == 10 - done

    def test_without_resume_it_is_the_source(self) -> None:
        assert Pipeline(keyed([3, 3, 4])).to(list).run().result == [3, 3, 4]
        assert "keyed([3, 4])" in str(Pipeline(keyed([3, 4])))

    def test_the_second_of_a_key_is_left_out(self, tmp_path: Path) -> None:
        rows = Pipeline(keyed([("a", 1), ("a", 2), ("b", 3)], key=first_of)).map(same, workers=1).to(list)
        assert rows.run(resume=tmp_path / "state.db").result == [("a", 1), ("b", 3)]

    def test_what_stopped_the_run_is_not_done(self, tmp_path: Path) -> None:
        state = tmp_path / "state.db"
        with pytest.raises(KeyError):
            Pipeline(keyed(range(10))).map(fail_on_seven, workers=1).run(resume=state)
        report = Pipeline(keyed(reversed(range(10)))).map(same, workers=1).to(list).run(resume=state)
        assert 7 in report.result
        assert len(report.result) + report.resumed == 10

    def test_beside_others_and_in_a_loop(self, tmp_path: Path) -> None:
        state = tmp_path / "state.db"
        merged = Pipeline.merge(keyed(iter([1, 2])), range(2), keyed([1, 2, 3])).loop(
            Pipeline().flat_map(visits, workers=1)
        )
        assert set(merged.to(list).run(resume=state).result) == {0, 1, 2, 3, 10, 20, 30}
        again = Pipeline.merge(keyed(iter([2, 9])), range(2), keyed([3, 2, 8])).map(same, threads=1).to(list)
        assert sorted(again.run(resume=state).result) == [8, 9]

    def test_keys_that_are_the_same_in_each_run(self) -> None:
        known = uuid.UUID(int=5)
        keys: list[Any] = ["a", b"a", 1, 1.5, None, True, ("a", 1), ("a", ("1",)), known, str(known)]
        keys += [datetime.date(2026, 1, 2), datetime.datetime(2026, 1, 2), PurePosixPath("a"), "('a',1)"]
        assert len({digest_of(key) for key in keys}) == len(keys)
        assert (
            digest_of("a").hex() == hashlib.blake2b(b"'a'", digest_size=16).hexdigest()
        )  # files are full of them

    @pytest.mark.parametrize("key", [object(), {"a": 1}, [1], {1}, ("a", object())])
    def test_keys_that_may_not_be(self, key: Any, tmp_path: Path) -> None:
        with pytest.raises(
            TypeError, match=r"keyed\(\) got the key .* it must be a text, bytes, a number"
        ) as caught:
            Pipeline(keyed([key])).map(same, threads=1).run(resume=tmp_path / "state.db")
        assert "asks for the key of" in caught.value.__notes__[0]

    def test_arguments(self, tmp_path: Path) -> None:
        queue: Queue[int] = Queue()
        with pytest.raises(PipelineError, match=r"keyed\(\) got a Queue, which itself knows"):
            keyed(queue)
        with pytest.raises(TypeError, match=r"key of keyed\(\) is 'id'"):
            keyed([1], key="id")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="the source is 5"):
            Pipeline(keyed(5))
        with pytest.raises(PipelineError, match="'zip' would put together others"):
            Pipeline.zip(keyed([1]), [2]).run(resume=tmp_path / "state.db")
        Pipeline(keyed([1], key=abs)).map(same, threads=1).run(resume=tmp_path / "state.db")
        with pytest.raises(PipelineError, match="items by their abs, and this is items by their same"):
            Pipeline(keyed([1], key=same)).map(same, threads=1).run(resume=tmp_path / "state.db")

    def test_very_many(self, tmp_path: Path) -> None:
        def numbers() -> Iterator[int]:
            yield from range(50_000)

        stage = Pipeline(keyed(numbers)).to(same)
        assert stage.run(resume=tmp_path / "state.db").taken == 50_000
        assert stage.run(resume=tmp_path / "state.db").taken == 0
