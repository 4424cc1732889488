"""The codec `arrow`: all of Arrow's types come back, without a copy, and damage is an error."""

from __future__ import annotations

import contextlib
import random
import sys
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_codecs import loaded, stored

from conveyor.codecs import resolve
from conveyor.errors import CorruptSegment

ARROW: Any = resolve("arrow")
SETTINGS = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))


def dense_union() -> pa.Array:
    return pa.UnionArray.from_dense(
        pa.array([0, 1, 0, 1], pa.int8()),
        pa.array([0, 0, 1, 1], pa.int32()),
        [pa.array([1, 2]), pa.array(["a", "b"])],
    )


COLUMNS = {
    "integers": pa.array([1, None, 3, 4]),
    "floats": pa.array([1.5, 2, 3, 4]),
    "booleans": pa.array([True, None, False, True]),
    "strings": pa.array(["a", None, "ccc", "dd"]),
    "large strings": pa.array(["a", "b", None, "cc"], pa.large_string()),
    "views": pa.array(["x", "more than the twelve bytes inline", None, "z"], pa.string_view()),
    "bytes": pa.array([b"1", b"22", b"333", None]),
    "fixed bytes": pa.array([b"ab", b"cd", None, b"ef"], pa.binary(2)),
    "lists": pa.array([[["a"]], [], None, [["b", "c"]]]),
    "fixed lists": pa.array([[1, 2], [3, 4], None, [5, 6]], pa.list_(pa.int8(), 2)),
    "list views": pa.array([[1], [2, 3], None, []], pa.list_view(pa.int64())),
    "structs": pa.array([{"x": 1, "y": "q"}, None, {"x": 3, "y": None}, {"x": 4, "y": "r"}]),
    "dictionary": pa.array(["u", "v", "u", None]).dictionary_encode(),
    "dictionaries in lists": pa.array(
        [["u"], ["v"], ["u"], None], pa.list_(pa.dictionary(pa.int8(), pa.string()))
    ),
    "maps": pa.array([[("k", 1)], [], None, [("j", 2)]], pa.map_(pa.string(), pa.int64())),
    "decimals": pa.array([1, 2, None, 3], pa.decimal128(5, 1)),
    "times": pa.array([1, 2, 3, None], pa.timestamp("us", "UTC")),
    "nulls": pa.nulls(4),
    "union": dense_union(),
    "runs": pa.RunEndEncodedArray.from_arrays([1, 3, 4], ["a", "b", "c"]),
}
TABLE = pa.table(COLUMNS)


def both(table: pa.Table) -> list[Any]:
    return [table, *table.to_batches()[:1]]


def there_and_back(item: Any) -> Any:
    received = loaded(ARROW, stored(ARROW, item))
    assert type(received) is type(item)
    assert received.schema.equals(item.schema, check_metadata=True)
    assert received.num_rows == item.num_rows
    return received


class TestRoundTrip:
    @pytest.mark.parametrize("name", COLUMNS)
    def test_every_type(self, name: str) -> None:
        for item in both(TABLE.select([name])):
            assert there_and_back(item).equals(item)

    # Of the view types Arrow sends all that the views might refer to.
    @pytest.mark.parametrize("name", [name for name in COLUMNS if "views" not in name])
    def test_a_slice_sends_its_rows_alone(self, name: str) -> None:
        item = pa.concat_tables([TABLE.select([name])] * 500).combine_chunks()[999:1002]
        assert there_and_back(item).equals(item)
        assert ARROW.dumps(item)[1][0].nbytes < 2000

    @pytest.mark.parametrize(
        "item",
        [
            pa.table({}),
            TABLE[:0],
            pa.schema([("a", pa.string())]).empty_table(),
            TABLE.select([]),  # four rows of nothing
            TABLE.to_batches()[0][:0],
            TABLE.to_batches()[0].select([]),
            TABLE.replace_schema_metadata({"who": "me"}),
            pa.table([[1], [2]], names=["twice", "twice"]),
            pa.table({"a": [1]}, schema=pa.schema([pa.field("a", pa.int8(), False, {"unit": "m"})])),
        ],
        ids=str,
    )
    def test_corners(self, item: Any) -> None:
        assert there_and_back(item).equals(item)

    def test_chunks_that_do_not_meet_and_dictionaries_that_differ(self) -> None:
        item = pa.table(
            {
                "a": pa.chunked_array([[1, 2], [3]]),
                "b": pa.chunked_array(
                    [pa.array(["x"]).dictionary_encode(), pa.array(["y", "z"]).dictionary_encode()]
                ),
            }
        )
        assert there_and_back(item).to_pylist() == item.to_pylist()

    @SETTINGS
    @given(
        st.lists(
            st.fixed_dictionaries(
                {
                    "i": st.none() | st.integers(-(2**63), 2**63 - 1),
                    "f": st.none() | st.floats(allow_nan=False),
                    "s": st.none() | st.text(),
                    "l": st.none() | st.lists(st.none() | st.binary()),
                }
            ),
            min_size=1,
        )
    )
    def test_rows(self, rows: list[dict[str, Any]]) -> None:
        for item in both(pa.Table.from_pylist(rows)):
            assert there_and_back(item).to_pylist() == rows


class TestCopies:
    def test_what_is_received_lies_where_it_was_put(self) -> None:
        numbers = pa.table({"n": range(10_000), "s": [str(number) for number in range(10_000)]})
        for item in both(numbers):
            _, [memory] = parts = stored(ARROW, item)
            start = pa.py_buffer(memory).address
            received = loaded(ARROW, parts)
            seen = 0
            for column in received.columns:
                for chunk in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
                    for buffer in filter(None, chunk.buffers()):
                        assert start <= buffer.address
                        assert buffer.address + buffer.size <= start + len(memory)
                        assert buffer.address % 8 == start % 8
                        seen += buffer.size
            assert seen > 0.9 * len(memory)

    def test_the_last_column_keeps_the_memory_and_then_gives_it_back(self) -> None:
        header, [memory] = stored(ARROW, TABLE)
        view = memoryview(memory)
        column = ARROW.loads(memoryview(header), [view])["strings"]
        with pytest.raises(BufferError):
            memory.append(0)
        del view
        assert column.to_pylist() == TABLE["strings"].to_pylist()
        with pytest.raises(BufferError):
            memory.append(0)
        del column
        memory.append(0)

    @pytest.mark.parametrize("item", both(TABLE), ids=["table", "batch"])
    def test_the_view_is_filled_to_the_last_byte_and_not_beyond(self, item: Any) -> None:
        _, [writer] = ARROW.dumps(item)
        filled = []
        for before in (0x00, 0xFF):
            memory = bytearray([before]) * (writer.nbytes + 64)
            with memoryview(memory) as whole, whole[32:-32] as view:
                writer.write_into(view)
            assert memory[:32] == memory[-32:] == bytes([before]) * 32
            filled.append(memory[32:-32])
        assert filled[0] == filled[1], "what lay there before shows through"
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, item.schema) as stream:
            stream.write(item)
        assert filled[0] == sink.getvalue().to_pybytes()

    def test_nothing_is_encoded_before_the_memory_is_there(self) -> None:
        item = pa.table({"n": pa.array(range(1_000_000))})
        before = pa.total_allocated_bytes()
        _, [writer] = ARROW.dumps(item)
        assert writer.nbytes > 8_000_000
        assert pa.total_allocated_bytes() - before < 100_000

    @pytest.mark.parametrize("change", [-8, -1, 1])
    def test_a_view_of_another_size(self, change: int) -> None:
        _, [writer] = ARROW.dumps(TABLE)
        with (
            memoryview(bytearray(writer.nbytes + change)) as view,
            pytest.raises(ValueError, match=f"view has {writer.nbytes + change} bytes"),
        ):
            writer.write_into(view)

    @pytest.mark.parametrize("last", [1, 250])
    def test_an_item_that_changes_meanwhile(self, last: int) -> None:
        """Arrow data over memory that somebody still writes to: the size of a slice is in its offsets."""
        offsets = bytearray(b"".join(n.to_bytes(4, sys.byteorder) for n in (0, 0, 100)))
        strings = pa.Array.from_buffers(
            pa.string(), 2, [None, pa.py_buffer(offsets), pa.py_buffer(b"x" * 300)]
        )
        _, [writer] = ARROW.dumps(pa.table({"s": strings}))
        offsets[8:12] = last.to_bytes(4, sys.byteorder)
        with memoryview(bytearray(writer.nbytes)) as view:  # leaving it fails if the traceback has the view
            with pytest.raises((ValueError, OSError)) as caught:
                writer.write_into(view)
            view.release()
        assert caught.value is not None


class TestRefusal:
    @pytest.mark.parametrize(
        ("item", "text"),
        [
            ({"a": [1]}, "codec 'arrow' cannot take this item of type dict: .*; it takes pyarrow.Table and"),
            (pa.array([1]), r"type pyarrow\.lib\.Int64Array"),
            (TABLE.to_reader(), r"RecordBatchReader\.read_all"),
            (None, "type NoneType"),
        ],
    )
    def test_what_is_no_table(self, item: Any, text: str) -> None:
        with pytest.raises(TypeError, match=text):
            ARROW.dumps(item)


class TestDamage:
    def test_another_kind_or_number_of_batches(self) -> None:
        _, [table] = stored(ARROW, pa.concat_tables([TABLE, TABLE]))
        _, [nothing] = stored(ARROW, TABLE.select(["strings"]).schema.empty_table())
        for buffer in (table, nothing):
            with pytest.raises(CorruptSegment, match="codec 'arrow' cannot read an item"):
                loaded(ARROW, (bytearray(b"B"), [buffer]))

    @pytest.mark.parametrize("name", ["strings", "large strings", "bytes", "lists", "dictionary"])
    def test_offsets_and_indices_beyond_the_data(self, name: str) -> None:
        """In the middle of the array, where Arrow's quick check does not look."""
        column = COLUMNS[name]
        _, [memory] = stored(ARROW, pa.table({"c": column}))
        received = loaded(ARROW, (bytearray(b"T"), [memory]))["c"].chunk(0)
        buffers = received.indices.buffers() if name == "dictionary" else received.buffers()
        place = buffers[1].address - pa.py_buffer(memory).address + 8
        width = 8 if name == "large strings" else 4
        del received, buffers
        memory[place : place + width] = (0x7FFF_FFF0).to_bytes(width, sys.byteorder)
        with pytest.raises(CorruptSegment):
            loaded(ARROW, (bytearray(b"T"), [memory]))

    def test_text_that_is_no_utf8_harms_nobody(self) -> None:
        _, [memory] = stored(ARROW, pa.table({"c": ["abc"]}))
        place = memory.index(b"abc")
        memory[place] = 0xFF
        received = loaded(ARROW, (bytearray(b"T"), [memory]))
        with pytest.raises(UnicodeDecodeError):
            received.to_pylist()

    def test_any_bytes_may_be_wrong(self) -> None:
        """A crash here ends the test run: there is nothing to assert but that it goes on."""
        chance = random.Random(20)
        whole = [stored(ARROW, item) for item in (*both(TABLE), *(TABLE.select([name]) for name in COLUMNS))]
        sound = 0
        for _ in range(4000):
            header, [memory] = chance.choice(whole)
            memory = memory[: chance.randrange(len(memory))] if chance.random() < 0.1 else bytearray(memory)
            for _ in range(chance.choice([1, 1, 2, 4])):
                place = chance.randrange(len(memory) or 1) & ~3
                value = chance.choice(
                    [chance.randbytes(1), b"\xff" * 4, b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\0" * 8]
                )
                memory[place : place + len(value)] = value[: max(0, len(memory) - place)]
            try:
                received = loaded(ARROW, (header, [memory]))
            except (CorruptSegment, MemoryError):
                continue
            sound += 1
            if received.num_rows <= 1000:
                self.touch(received)
        assert sound

    @staticmethod
    def touch(received: Any) -> None:
        with contextlib.suppress(Exception):  # of values that make no sense, it may say so
            received.to_pylist()
            received.take([0])
