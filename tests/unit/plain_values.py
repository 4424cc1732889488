"""What the tests of plain data share: values to carry, and how to damage what carries them."""

from __future__ import annotations

import datetime
import zoneinfo
from typing import Any, cast

import numpy as np
from codec_values import atoms, hashable
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn

from conveyor.codecs import resolve
from conveyor.codecs.plain_codec import PlainCodec
from conveyor.errors import BadMessage

plain = cast(PlainCodec, resolve("plain"))


def there_and_back(item: Any) -> Any:
    return plain.decode(plain.encode(item))


zones = st.one_of(
    st.just(datetime.UTC),
    st.sampled_from(["Europe/Berlin", "America/New_York", "UTC", "Asia/Kathmandu"]).map(zoneinfo.ZoneInfo),
    st.timedeltas(
        min_value=datetime.timedelta(hours=-23, minutes=-59),
        max_value=datetime.timedelta(hours=23, minutes=59),
    ).map(datetime.timezone),
    st.builds(
        datetime.timezone,
        st.integers(-1439, 1439).map(lambda minutes: datetime.timedelta(minutes=minutes)),
        st.text(max_size=10),
    ),
)
moments = st.builds(
    lambda moment, zone, fold: moment.replace(tzinfo=zone, fold=fold),
    st.datetimes() | st.times(),
    zones,
    st.integers(0, 1),
)
array_types = st.one_of(
    stn.scalar_dtypes(),
    stn.unicode_string_dtypes(max_len=5),
    stn.byte_string_dtypes(max_len=5),
    stn.array_dtypes(stn.scalar_dtypes(), max_size=3),
)
arrays = stn.arrays(array_types, stn.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)).map(
    lambda array: array if len(array.shape) % 2 == 0 else np.asfortranarray(array)
)
scalars = array_types.filter(lambda kind: kind.subdtype is None and kind.names is None).flatmap(
    lambda kind: stn.arrays(kind, ()).map(lambda array: array[()])
)
# NaN is hashed by its address, so that the order of a set with one in it is another each time.
hashed = (hashable | moments).filter(lambda value: "nan" not in repr(value).lower())
plain_items = st.recursive(
    atoms | st.binary(max_size=50).map(bytearray) | moments | arrays | scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.lists(inner, max_size=5).map(tuple),
        st.dictionaries(hashed, inner, max_size=4),
        st.sets(hashed, max_size=4),
        inner.map(lambda value: [value, value, (value, [value])]),
    ),
    max_leaves=12,
)


def decoded(damaged: bytes) -> bool:
    """Whether the bytes are taken for an item, which then is plain data again; else the error is BadMessage."""
    try:
        item = plain.decode(damaged)
    except BadMessage:
        return False
    plain.encode(item)
    return True


def flips(content: bytes, positions: list[int]) -> bytes:
    """The bytes with these bits turned over."""
    changed = bytearray(content)
    for position in positions:
        place = position % (8 * len(changed))
        changed[place // 8] ^= 1 << place % 8
    return bytes(changed)
