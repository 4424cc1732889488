"""`resolve`: which codec a user means, and what is said when it is none."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from typing import Any

import pytest
from test_codecs import SHIPPED

from conveyor.codecs import resolve


class Own:
    """A codec as a user writes it."""

    name = "own"

    def dumps(self, obj: Any) -> tuple[bytes, list[bytes]]:
        return b"", [repr(obj).encode()]

    def loads(self, header: memoryview, buffers: list[memoryview]) -> Any:
        return bytes(buffers[0])


class TestResolve:
    @pytest.mark.parametrize("name", ["auto", "pickle"])
    def test_native_codecs_are_their_names(self, name: str) -> None:
        assert resolve(name) == name

    @pytest.mark.parametrize("name", SHIPPED)
    def test_a_name_is_one_object(self, name: str) -> None:
        codec = resolve(name)
        assert not isinstance(codec, str)
        assert codec.name == name
        assert resolve(name) is codec
        assert resolve(codec) is codec

    @pytest.mark.parametrize("name", SHIPPED)
    def test_a_copy_or_pickle_of_it_is_itself(self, name: str) -> None:
        codec = resolve(name)
        assert pickle.loads(pickle.dumps(codec)) is codec
        assert copy.deepcopy(codec) is codec

    def test_a_codec_of_the_users_own(self) -> None:
        codec = Own()
        assert resolve(codec) is codec

    def test_an_unknown_name(self) -> None:
        with pytest.raises(ValueError, match=r"codec is 'mesgpack'; it must be one of 'auto'.*'raw', or an"):
            resolve("mesgpack")

    @pytest.mark.parametrize(
        ("wrong", "text"),
        [
            (None, "codec is None, which has no name and no dumps and no loads; it must be one of"),
            (json, "codec is <module 'json'.*, which has no name; it must be"),
            (b"json", "codec is b'json'"),
            (Own, "codec is the class Own; pass an instance"),
        ],
    )
    def test_no_codec(self, wrong: Any, text: str) -> None:
        with pytest.raises(TypeError, match=text):
            resolve(wrong)

    @pytest.mark.parametrize(
        ("attribute", "value", "error", "text"),
        [
            ("name", 3, TypeError, "whose name is 3; its name must be a str"),
            ("name", "", ValueError, "whose name is empty"),
            ("name", "auto", ValueError, "'auto' is that of a shipped codec"),
            ("name", "json", ValueError, "'json' is that of a shipped codec"),
            ("dumps", 3, TypeError, "whose dumps cannot be called"),
            ("loads", None, TypeError, "whose loads cannot be called"),
        ],
    )
    def test_not_quite_a_codec(self, attribute: str, value: Any, error: type[Exception], text: str) -> None:
        codec = Own()
        setattr(codec, attribute, value)
        with pytest.raises(error, match=text):
            resolve(codec)

    @pytest.mark.parametrize(("name", "package"), [("msgpack", "msgspec"), ("arrow", "pyarrow")])
    def test_a_missing_extra_says_what_to_install(self, name: str, package: str) -> None:
        program = (
            f"import sys; sys.modules.pop({package!r}, None)\n"
            "class Nowhere:\n"
            "    def find_spec(self, name, *rest):\n"
            f"        if name == {package!r}: raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)\n"
            "sys.meta_path.insert(0, Nowhere())\n"
            "from conveyor.codecs import resolve\n"
            f"try: resolve({name!r})\n"
            "except ImportError as error: print(error)\n"
            f"resolve('json')"
        )
        said = subprocess.check_output([sys.executable, "-c", program], text=True).strip()
        assert said == f"codec is {name!r}, which needs the package {package}: pip install 'conveyor[{name}]'"

    def test_nothing_is_imported_before_it_is_needed(self) -> None:
        program = (
            "import sys, conveyor, conveyor.codecs as c\n"
            "c.resolve('auto'), c.resolve('raw')\n"
            "print(*{'json', 'msgspec', 'pyarrow', 'numpy'} & set(sys.modules))"
        )
        assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == ""

    def test_many_threads_get_one_object(self) -> None:
        program = (
            "import threading\n"
            "from conveyor.codecs import resolve\n"
            "start, got = threading.Barrier(8), []\n"
            "def one(): start.wait(); got.append(resolve('json'))\n"
            "threads = [threading.Thread(target=one) for _ in range(8)]\n"
            "for t in threads: t.start()\n"
            "for t in threads: t.join()\n"
            "print(len(got), len(set(map(id, got))))"
        )
        assert subprocess.check_output([sys.executable, "-c", program], text=True).split() == ["8", "1"]
