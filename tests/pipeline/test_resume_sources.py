"""`run(resume=…)` of several sources: after the death of everything a second run goes on, and no item is left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from checkpointed import COUNT
from stages import double, merge_add, same
from test_checkpoints import lines_of, run_until_done

from conveyor import Pipeline, PipelineError


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
