"""`read_parquet`: record batches that reach workers through shared memory, and rows."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conveyor import Pipeline, PipelineError, read_parquet

ROWS = 200_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "numbers.parquet"
    table = pa.table({"number": list(range(ROWS)), "text": [str(number) for number in range(ROWS)]})
    pq.write_table(table, path, row_group_size=70_000)
    return path


def total_and_place(batch: Any) -> tuple[int, int, int, bool]:
    """What a worker sees of a batch: its sum, its rows, the process, and whether its memory is shared."""
    column = batch.column("number")
    address = column.buffers()[1].address
    with open("/proc/self/maps") as maps:  # noqa: PTH123
        for line in maps:
            first, _, last = line.split()[0].partition("-")
            if int(first, 16) <= address < int(last, 16):
                return sum(column.to_pylist()), batch.num_rows, os.getpid(), "conveyor" in line
    raise AssertionError("it lies nowhere")


class TestReadParquet:
    @pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
    def test_batches_are_read_by_workers_where_they_lie(self, method: Any, path: Path) -> None:
        report = (
            Pipeline(read_parquet(path, batch_size=30_000))
            .map(total_and_place, workers=2)
            .to(list)
            .run(start_method=method)
        )
        assert sum(total for total, _, _, _ in report.result) == sum(range(ROWS))
        assert sum(rows for _, rows, _, _ in report.result) == ROWS
        assert all(pid != os.getpid() and shared for _, _, pid, shared in report.result)

    def test_rows_and_columns(self, path: Path) -> None:
        rows = Pipeline(read_parquet([path, path], rows=True, columns=["text"])).to(list).run().result
        assert len(rows) == 2 * ROWS
        assert rows[-1] == {"text": str(ROWS - 1)}

    def test_at_a_url(self, path: Path) -> None:
        import fsspec

        with fsspec.open("memory://data/numbers.parquet", "wb") as file:
            file.write(path.read_bytes())
        batches = Pipeline(read_parquet("memory://data/*.parquet")).to(list).run().result
        assert pa.Table.from_batches(batches).num_rows == ROWS

    def test_in_a_stage(self, path: Path) -> None:
        report = Pipeline([path, path]).flat_map(read_parquet, workers=2).map(len, workers=1).to(list).run()
        assert sum(report.result) == 2 * ROWS

    def test_resume(self, path: Path, tmp_path: Path) -> None:
        state = tmp_path / "state.db"
        stages = Pipeline(read_parquet(path, batch_size=10_000)).map(len, threads=1)
        count = stages.run(resume=state).taken
        assert stages.run(resume=state).resumed == count
        with pytest.raises(PipelineError, match="made for another source"):
            Pipeline(read_parquet(path, batch_size=20_000)).map(len, threads=1).run(resume=state)

    def test_progress(self, path: Path) -> None:
        told: list[Any] = []
        Pipeline(read_parquet(path)).map(len, threads=1).run(progress=told.append)
        assert told[-1].bytes_read == told[-1].bytes_total == path.stat().st_size

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"columns": "text"}, TypeError, "columns of read_parquet.. is 'text'; it must be a list"),
            ({"batch_size": 0}, ValueError, "batch_size of read_parquet.. is 0"),
        ],
    )
    def test_wrong_options(self, options: Any, error: type[Exception], message: str, path: Path) -> None:
        with pytest.raises(error, match=message):
            read_parquet(path, **options)

    def test_what_is_wrong_names_the_file(self, path: Path, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"numbers.parquet has no column 'nosuch'"):
            Pipeline(read_parquet(path, columns=["nosuch"])).run()
        other = tmp_path / "other.parquet"
        other.write_text("no parquet, but as long as one must be")
        with pytest.raises(pa.ArrowInvalid) as caught:
            Pipeline(read_parquet(other)).run()
        assert f"in {other}" in caught.value.__notes__
        with pytest.raises(ValueError, match="cannot read standard input"):
            read_parquet("-")

    def test_without_pyarrow_it_says_what_to_install(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
        with pytest.raises(ImportError, match=r"needs the package pyarrow: pip install 'conveyor\[arrow\]'"):
            read_parquet(path)
