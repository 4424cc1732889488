"""How slices of Arrow's data become pickles that hold their own rows alone, and not all that they were cut from.

pyarrow pickles whole buffers, of which a slice may show little. Arrow's stream format has the rows; of types that are
views (`string_view`) it has all text, too. What is mostly whole goes as pyarrow pickles it, whose buffers go beside the
pickle without a further copy.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pickle import PickleBuffer
from typing import Any

__all__ = ["reducer_of"]

# Any: type checkers pass over this file where pyarrow is not installed, too.
_arrow: Any = importlib.import_module("pyarrow")
_ipc: Any = importlib.import_module("pyarrow.ipc")

# In bytes: what is less is not worth a stream, which costs some hundred.
_LEAST_UNSEEN = 16 * 1024


def reducer_of(kind: type) -> Callable[[Any], Any]:
    """The reducer for a type of pyarrow's own. Tables are pickled by their columns."""
    if issubclass(kind, _arrow.RecordBatch):
        return _reduce_batch
    if issubclass(kind, _arrow.ChunkedArray):
        return _reduce_chunked
    return _reduce_array if issubclass(kind, _arrow.Array) else _reduce_other


def _reduce_other(value: Any) -> Any:
    return value.__reduce_ex__(5)


def _reduce_batch(batch: Any) -> Any:
    stream = _stream_of(batch, batch) if _shows_little(batch) else None
    return batch.__reduce_ex__(5) if stream is None else (_batch_of, (stream,))


def _reduce_chunked(chunked: Any) -> Any:
    if not _shows_little(chunked):
        return chunked.__reduce_ex__(5)
    stream = _stream_of(chunked, _arrow.Table.from_arrays([chunked], names=[""]))
    return chunked.__reduce_ex__(5) if stream is None else (_chunked_of, (stream,))


def _reduce_array(array: Any) -> Any:
    if not _shows_little(array):
        return array.__reduce_ex__(5)
    stream = _stream_of(array, _arrow.RecordBatch.from_arrays([array], names=[""]))
    return array.__reduce_ex__(5) if stream is None else (_array_of, (stream,))


def _shows_little(data: Any) -> bool:
    try:
        return bool(data.get_total_buffer_size() > 2 * data.nbytes + _LEAST_UNSEEN)
    except _arrow.ArrowException:  # of a type whose size Arrow cannot tell
        return False


def _stream_of(data: Any, written: Any) -> PickleBuffer | None:
    """None: it is for pickle, which brings the classes of extension types along."""
    types = written.schema.types if data is written else [data.type]
    if any("extension<" in str(each) for each in types):
        return None
    sink = _arrow.BufferOutputStream()
    try:
        with _ipc.new_stream(sink, written.schema, options=_ipc.IpcWriteOptions(use_threads=False)) as writer:
            writer.write(written)
    except _arrow.ArrowException:  # of a type that has no such form
        return None
    return PickleBuffer(sink.getvalue())


# -- where they arrive ----------------------------------------------------------------------------------------


def _reader_of(stream: Any) -> Any:
    return _ipc.open_stream(_arrow.py_buffer(stream), options=_ipc.IpcReadOptions(use_threads=False))


def _batch_of(stream: Any) -> Any:
    return _reader_of(stream).read_next_batch()


def _chunked_of(stream: Any) -> Any:
    return _reader_of(stream).read_all().column(0)


def _array_of(stream: Any) -> Any:
    return _batch_of(stream).column(0)
