"""The codec `arrow`: Arrow tables and record batches, in the IPC stream format."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from traceback import clear_frames
from typing import Any, final

from ._shipped import Shipped

__all__ = ["ArrowCodec"]

# Type checks must give the same answer whether or not the extra is installed: hence no plain import.
_arrow: Any = import_module("pyarrow")
_ipc: Any = import_module("pyarrow.ipc")

_TABLE = b"T"
_BATCH = b"B"

# No thread of ours in the user's process: they would serve compressed streams alone, and we do not compress.
_WRITE: Any = _ipc.IpcWriteOptions(use_threads=False)
_READ: Any = _ipc.IpcReadOptions(use_threads=False)


def _write(item: Any, sink: Any) -> None:
    with _ipc.new_stream(sink, item.schema, options=_WRITE) as writer:
        writer.write(item)


class _Stream:
    """The IPC stream of a table or record batch, to be written where it is to lie."""

    def __init__(self, item: Any) -> None:
        self._item = item
        counter = _arrow.MockOutputStream()
        _write(item, counter)
        self.nbytes: int = counter.size()

    def write_into(self, view: memoryview) -> None:
        """Fill `view`, of `nbytes` writable bytes; other threads run meanwhile.

        Raises:
            ValueError: the view has another size, or the item's own memory has changed since `dumps`
                such that its size is another.
        """
        if view.nbytes != self.nbytes:
            raise ValueError(f"view has {view.nbytes} bytes; it must have nbytes, which is {self.nbytes}")
        sink = _arrow.FixedSizeBufferWriter(_arrow.py_buffer(view))
        try:
            _write(self._item, sink)
            written: int = sink.tell()
        except BaseException as error:
            # The traceback would keep the sink and with it the view, which the caller wants to release.
            clear_frames(error.__traceback__)
            raise
        finally:
            del sink
        if written != self.nbytes:
            raise ValueError(f"the item changed while it was put: {written} bytes, and {self.nbytes} before")


@final
class ArrowCodec(Shipped):
    """pyarrow's `Table` in, `Table` out; `RecordBatch` in, `RecordBatch` out.

    One copy on put, straight into the queue, and none on get: the columns that come out lie in the
    queue's memory, which goes back when the last of them is collected. The schema comes along, with its
    metadata. Of a slice its own rows travel, of view types all their text. A table's chunks may come back cut
    at other rows. An extension type that the receiver has
    not registered comes back as its storage type.

    `loads` checks what could crash a reader later: sizes, the offsets of strings and lists, the indices of
    dictionaries. For columns of numbers that is free; for strings it reads the offsets, not the text.
    """

    name = "arrow"

    def dumps(self, obj: Any, /) -> tuple[bytes, list[_Stream]]:
        """The item's kind, and its stream as a writer.

        Raises:
            TypeError: it is neither a Table nor a RecordBatch, or has a column that IPC does not support.
        """
        if isinstance(obj, _arrow.Table):
            kind = _TABLE
        elif isinstance(obj, _arrow.RecordBatch):
            kind = _BATCH
        else:
            raise TypeError(self._refusal(obj, "it is no Arrow data", _RIGHT))
        try:
            return kind, [_Stream(obj)]
        except NotImplementedError as error:
            raise TypeError(self._refusal(obj, error, _RIGHT)) from error

    def loads(self, header: memoryview, buffers: list[memoryview], /) -> Any:
        """The Table or RecordBatch, its columns where the buffer lies.

        Raises:
            CorruptSegment: this is no sound Arrow stream, or no item of this codec.
        """
        kind = bytes(header[:2])
        if kind not in (_TABLE, _BATCH) or len(buffers) != 1:
            raise self._damage(f"a header that begins with {kind!r}, and {len(buffers)} buffers")
        try:
            with _ipc.open_stream(_arrow.py_buffer(buffers[0]), options=_READ) as reader:
                if kind == _TABLE:
                    item = reader.read_all()
                else:
                    [item] = reader
            _check(item)
        except MemoryError:
            raise  # may be said of sound bytes
        except Exception as error:  # Arrow has a dozen, and the user's extension types have their own
            raise self._damage(error) from error
        return item


def _check(item: Any) -> None:
    """Raise ArrowInvalid if using `item` could read where it must not.

    Whether text is sound UTF-8 costs several times the rest and crashes nobody: Python raises
    UnicodeDecodeError when it gets there. It is left out where that is easy.
    """
    item.validate()
    for column in item.columns:
        if not _has_only_values(column.type):
            for chunk in _chunks(column):
                _as_binary(chunk).validate(full=True)


def _has_only_values(kind: Any) -> bool:
    """Whether the type's arrays refer to nothing by offset or index: `validate()` has seen all then."""
    types = _arrow.types
    return bool(types.is_primitive(kind) or types.is_decimal(kind) or types.is_fixed_size_binary(kind))


def _chunks(column: Any) -> Iterator[Any]:
    yield from column.chunks if isinstance(column, _arrow.ChunkedArray) else (column,)


def _as_binary(chunk: Any) -> Any:
    if _arrow.types.is_string(chunk.type):
        return chunk.view(_arrow.binary())
    if _arrow.types.is_large_string(chunk.type):
        return chunk.view(_arrow.large_binary())
    return chunk


_RIGHT = (
    "it takes pyarrow.Table and pyarrow.RecordBatch: make one with Table.from_pandas, Table.from_pydict or "
    "RecordBatchReader.read_all, or use the codec 'auto' for other objects"
)
