"""Envelopes: what messages say of themselves, other programs' messages, and signatures."""

from __future__ import annotations

import hmac
import json
import math
import pickle
from typing import Any

import msgspec
import pyarrow
import pytest
from codec_values import SETTINGS, same, through_pickle
from hypothesis import given
from hypothesis import strategies as st
from plain_values import flips, plain_items

import conveyor
from conveyor.codecs.envelope import Envelope
from conveyor.codecs.signature import Signature
from conveyor.errors import BadMessage, WrongKey

KEY = b"k" * 32
OTHER = b"o" * 32
PLAIN = "application/vnd.conveyor.plain; version=1"
SIGNED = "application/vnd.conveyor.signed; version=1"
ITEM = {"a": [1, (2.5, "text")], b"k": None}


class Reversed:
    """A codec as a user writes it, with a header and two buffers, one of them by a writer."""

    name = "reversed/1"

    class Writer:
        nbytes = 3

        def write_into(self, view: memoryview) -> None:
            view[:] = b"end"

    def dumps(self, obj: str) -> tuple[bytes, list[Any]]:
        return b"head", [obj[::-1].encode(), self.Writer()]

    def loads(self, header: memoryview, buffers: list[memoryview]) -> str:
        assert bytes(header) == b"head"
        assert bytes(buffers[1]) == b"end"
        return bytes(buffers[0]).decode()[::-1]


class Explosive:
    fired = 0

    def __reduce__(self) -> tuple[Any, ...]:
        return _fire, ()


def _fire() -> str:
    Explosive.fired += 1
    return "fired"


class TestEachCodec:
    @pytest.mark.parametrize(
        ("codec", "item", "content_type"),
        [
            ("plain", ITEM, PLAIN),
            ("auto", ITEM, PLAIN),
            ("json", {"a": [1, None]}, "application/json"),
            ("msgpack", {"a": [1, b"x"]}, "application/msgpack"),
            ("raw", b"bytes", "application/octet-stream"),
            ("raw", b"", "application/octet-stream"),
            ("arrow", pyarrow.table({"x": [1, 2]}), "application/vnd.conveyor.codec.arrow; version=1"),
            (Reversed(), "äbc", "application/vnd.conveyor.codec.reversed%2F1; version=1"),
        ],
        ids=str,
    )
    def test_says_what_it_is_and_comes_back(self, codec: Any, item: Any, content_type: str) -> None:
        envelope = Envelope.for_(codec)
        headers, body = envelope.pack(item)
        assert headers == {"content-type": content_type}
        assert envelope.unpack(headers, body) == item
        assert envelope.decode(envelope.encode(item), envelope.content_type) == item
        assert envelope.unpack_alone(envelope.pack_alone(item)) == item
        signed = Envelope.for_(codec, key=KEY)
        headers, body = signed.pack(item)
        assert headers == {"content-type": SIGNED}
        assert signed.unpack(headers, body) == item
        assert signed.unpack_alone(signed.pack_alone(item)) == item

    def test_json_is_what_other_programs_read(self) -> None:
        assert json.loads(Envelope.for_("json").encode({"ä": 1})) == {"ä": 1}
        assert msgspec.msgpack.decode(Envelope.for_("msgpack").encode({"ä": 1})) == {"ä": 1}
        assert Envelope.for_("raw").encode(b"\x00\xff") == b"\x00\xff"

    def test_what_the_codec_refuses_is_refused(self) -> None:
        with pytest.raises(TypeError, match=r"item\[0\], of type object"):
            Envelope.for_().pack([object()])
        with pytest.raises(TypeError, match="codec 'json' cannot take"):
            Envelope.for_("json", key=KEY).pack([b"x"])

    @pytest.mark.parametrize("codec", ["plain", "json", Reversed()], ids=str)
    @pytest.mark.parametrize("key", [None, KEY, [KEY, OTHER]])
    def test_goes_to_another_process_in_a_pickle(self, codec: Any, key: Any) -> None:
        envelope = Envelope.for_(codec, key=key)
        again = pickle.loads(pickle.dumps(envelope))
        assert again.content_type == envelope.content_type
        assert again.unpack(*envelope.pack("x")) == "x"

    def test_small_prefix(self) -> None:
        assert len(Envelope.for_("plain").pack_alone(1)) == 4
        assert len(Envelope.for_("json").pack_alone(1)) == 4


class TestMessagesOfOthers:
    @pytest.mark.parametrize(
        "content_type",
        [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            'application/json;charset="UTF-8"',
            "text/json",
            "application/problem+json",
        ],
    )
    def test_json(self, content_type: str) -> None:
        for codec in ("plain", "msgpack", "raw"):
            assert Envelope.for_(codec).decode(b' {"a": [1, 2.5, null]} ', content_type) == {
                "a": [1, 2.5, None]
            }

    @pytest.mark.parametrize(
        "content_type", ["application/msgpack", "application/x-msgpack", "application/vnd.msgpack"]
    )
    def test_msgpack(self, content_type: str) -> None:
        assert Envelope.for_().decode(b"\x93\x01\xa1x\xc0", content_type) == [1, "x", None]

    def test_plain_data_is_read_by_all(self) -> None:
        body = Envelope.for_().encode(ITEM)
        same(Envelope.for_("json").decode(body, PLAIN), through_pickle(ITEM))

    def test_one_that_says_nothing_is_in_the_codec_that_others_write(self) -> None:
        assert Envelope.for_("json").unpack({}, b"[1]") == [1]
        assert Envelope.for_("msgpack").unpack(None, b"\x91\x01") == [1]
        assert Envelope.for_("raw").unpack(None, b"xyz") == b"xyz"
        with pytest.raises(BadMessage, match="does not say of what content type"):
            Envelope.for_("plain").unpack(None, b"[1]")

    @pytest.mark.parametrize("name", ["content-type", "Content-Type", "CONTENT_TYPE", "content_type"])
    @pytest.mark.parametrize("kind", [str, bytes])
    def test_headers_in_any_spelling(self, name: str, kind: type) -> None:
        value: Any = "application/json" if kind is str else b"application/json"
        assert Envelope.for_().unpack({"x": 1, name: value}, b"7") == 7

    @pytest.mark.parametrize(
        ("content_type", "body", "text"),
        [
            (
                "image/png",
                b"\x89PNG",
                r"of type 'image/png'; this end reads .*plain.*, plain data, JSON and MessagePack",
            ),
            ("text/plain", b"hello", "of type 'text/plain'"),
            ("application/octet-stream", b"hello", "of type 'application/octet-stream'"),
            (
                "application/x-python-serialize",
                b"\x80\x04N.",
                "a message is a pickle .* only if it is signed",
            ),
            ("application/vnd.conveyor.pickle; version=1", b"\x80\x04N.", "a message is a pickle"),
            ("application/vnd.conveyor.plain; version=2", b"\x00", "reads version 1"),
            ("application/vnd.conveyor.plain", b"\x00", "reads version 1"),
            ("application/vnd.conveyor.codec.other; version=1", b"\x00", "this end reads"),
            ("application/json; charset=latin-1", b'"x"', "must be UTF-8"),
            ("application/json", b"{", "damaged"),
            ("application/json", b"\xff", "damaged"),
            ("application/json", b"[" * 100_000, "RecursionError"),
            ("application/msgpack", b"\xc1", "damaged"),
            (PLAIN, b"\xff\xff", "no plain data"),
            ("", b"", "does not say"),
            ("", b"\xc3\x9b", "in no way known here"),
            ("", b"\xc3\x9b\x09", "in no way known here"),
            ("", b"\xc3\x9b\x00\x20abc", "in no way known here"),
        ],
    )
    def test_what_cannot_be_read_is_an_error_with_the_bytes(
        self, content_type: str, body: bytes, text: str
    ) -> None:
        with pytest.raises(BadMessage, match=text) as caught:
            Envelope.for_().decode(body, content_type)
        assert caught.value.body == body
        assert caught.value.content_type == content_type
        again = pickle.loads(pickle.dumps(caught.value))
        assert (type(again), again.body, str(again)) == (BadMessage, body, str(caught.value))

    def test_of_a_users_codec_whose_loads_raises(self) -> None:
        envelope = Envelope.for_(Reversed())
        body = envelope.encode("x").replace(b"head", b"hurt")
        with pytest.raises(BadMessage, match="AssertionError") as caught:
            envelope.decode(body, envelope.content_type)
        assert isinstance(caught.value.__cause__, AssertionError)

    @SETTINGS
    @given(
        st.binary(max_size=100) | plain_items.map(Envelope.for_().pack_alone),
        st.sampled_from(
            ["", PLAIN, SIGNED, "application/json", "application/msgpack", "x", "application/octet-stream"]
        )
        | st.text(max_size=20),
        st.sampled_from(
            [
                Envelope.for_(),
                Envelope.for_("json"),
                Envelope.for_(Reversed()),
                Envelope.for_("pickle", key=KEY),
            ]
        ),
    )
    def test_any_bytes_of_any_type(self, body: bytes, content_type: str, envelope: Envelope) -> None:
        try:
            envelope.decode(body, content_type)
        except BadMessage as error:
            assert (error.body, error.content_type) == (body, content_type)  # noqa: PT017

    @SETTINGS
    @given(st.lists(st.integers(0, 10**6), min_size=1, max_size=4))
    def test_damaged_parts_of_a_users_codec(self, positions: list[int]) -> None:
        envelope = Envelope.for_("arrow")
        body = flips(ARROW, positions)
        try:
            envelope.decode(body, envelope.content_type)
        except BadMessage as error:
            assert error.body == body  # noqa: PT017


ARROW = Envelope.for_("arrow").encode(pyarrow.table({"x": [1, 2], "y": ["a", "b"]}))


class TestSignatures:
    ENVELOPE = Envelope.for_("pickle", key=KEY)

    def test_pickle_needs_a_key(self) -> None:
        with pytest.raises(ValueError, match=r'codec is \'pickle\', and unpickling runs .* key=b"\.\.\."'):
            Envelope.for_("pickle")

    @pytest.mark.parametrize(
        ("key", "error", "text"),
        [
            (b"", ValueError, "key 0 is empty"),
            ([], ValueError, "empty list"),
            ([KEY, b""], ValueError, "key 1 is empty"),
            ("text", TypeError, "key is of type str"),
            (["text"], TypeError, "key 0 is of type str"),
            (5, TypeError, "key is of type int"),
        ],
    )
    def test_no_key(self, key: Any, error: type[Exception], text: str) -> None:
        with pytest.raises(error, match=text):
            Envelope.for_("plain", key=key)

    def test_it_is_hmac_with_sha256(self) -> None:
        for key in (b"k", KEY, b"x" * 64, b"y" * 65, b"z" * 200):
            signed = Signature(key).signed(b"one", b"two")
            context = b"conveyor signed message, version 1\0"
            assert signed == hmac.digest(key, context + b"onetwo", "sha256") + b"onetwo"

    def test_an_object_comes_back(self) -> None:
        Explosive.fired = 0
        assert self.ENVELOPE.unpack(*self.ENVELOPE.pack([Explosive()])) == ["fired"]
        assert Explosive.fired == 1

    def test_not_a_bit_may_be_another(self) -> None:
        Explosive.fired = 0
        headers, body = self.ENVELOPE.pack(Explosive())
        for position in range(8 * len(body)):
            with pytest.raises(WrongKey, match="by none of the keys"):
                self.ENVELOPE.unpack(headers, flips(body, [position]))
        for end in range(len(body)):
            with pytest.raises(WrongKey):
                self.ENVELOPE.unpack(headers, body[:end])
        with pytest.raises(WrongKey):
            self.ENVELOPE.unpack(headers, body + b"\0")
        assert Explosive.fired == 0

    def test_another_key(self) -> None:
        Explosive.fired = 0
        headers, body = Envelope.for_("pickle", key=OTHER).pack(Explosive())
        with pytest.raises(WrongKey, match="put with another key, or changed") as caught:
            self.ENVELOPE.unpack(headers, body)
        assert caught.value.body == body
        assert isinstance(caught.value, BadMessage)
        assert Explosive.fired == 0

    @pytest.mark.parametrize(
        ("content_type", "body"),
        [
            (PLAIN, b"\x00"),
            ("application/json", b"1"),
            ("application/vnd.conveyor.pickle; version=1", pickle.dumps(1)),
            ("", pickle.dumps(1)),
        ],
    )
    def test_who_has_a_key_reads_nothing_without_a_signature(self, content_type: str, body: bytes) -> None:
        with pytest.raises(BadMessage):
            self.ENVELOPE.decode(body, content_type)

    def test_who_has_no_key_reads_nothing_signed(self) -> None:
        headers, body = Envelope.for_("plain", key=KEY).pack(1)
        with pytest.raises(WrongKey, match=r'this end has no key; connect with key=b"\.\.\."'):
            Envelope.for_("plain").unpack(headers, body)

    def test_a_signature_of_another_version(self) -> None:
        _, body = self.ENVELOPE.pack(1)
        with pytest.raises(BadMessage, match="reads version 1"):
            self.ENVELOPE.decode(body, "application/vnd.conveyor.signed; version=2")

    def test_what_is_signed_says_what_it_is(self) -> None:
        """A signed text is not taken for a pickle, nor a pickle for what a plain end reads."""
        _, body = Envelope.for_("json", key=KEY).pack([1])
        assert self.ENVELOPE.decode(body, SIGNED) == [1]
        _, body = self.ENVELOPE.pack(Explosive())
        with pytest.raises(BadMessage, match="is a pickle"):
            Envelope.for_("plain", key=KEY).decode(body, SIGNED)

    def test_keys_are_replaced_one_by_one(self) -> None:
        old, both, new = (Envelope.for_("plain", key=key) for key in (KEY, [OTHER, KEY], OTHER))
        learning = Envelope.for_("plain", key=[KEY, OTHER])
        for writer, readers in (
            (old, (old, learning, both)),
            (learning, (old, learning, both)),
            (both, (learning, both, new)),
        ):
            for reader in readers:
                assert reader.unpack(*writer.pack(1)) == 1
        with pytest.raises(WrongKey):
            old.unpack(*both.pack(1))
        with pytest.raises(WrongKey):
            new.unpack(*old.pack(1))

    def test_nothing_shows_the_key(self) -> None:
        assert "kkk" not in repr(self.ENVELOPE)
        assert repr(self.ENVELOPE) == "<envelope of codec 'pickle', signed>"

    def test_all_of_a_large_message_is_signed(self) -> None:
        envelope = Envelope.for_("raw", key=KEY)
        headers, body = envelope.pack(b"x" * 1_000_000)
        for place in (100, 500_000, len(body) - 1):
            with pytest.raises(WrongKey):
                envelope.unpack(headers, flips(body, [8 * place]))


def test_a_float_is_the_same_to_the_bit() -> None:
    envelope = Envelope.for_()
    for value in (math.nan, -math.nan, -0.0, 5e-324):
        same(envelope.unpack(*envelope.pack(value)), value)


def test_the_errors_are_conveyors() -> None:
    assert conveyor.WrongKey is WrongKey
    assert issubclass(WrongKey, conveyor.BadMessage)
