"""URLs: read in one place, checked, and never shown with their secrets."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

import conveyor
from conveyor.transports import registry
from conveyor.transports.url import Option, Shape, Url, masked, parse

BROKER = Shape(
    "amqp://user:password@host:5672/vhost/name",
    path=True,
    options={
        "prefetch": Option("int", 10, 1),
        "mode": Option("fast|safe", "safe"),
        "tls": Option("bool", False),
    },
)
PLAIN = Shape("nats://host/name")


class TestParts:
    def test_all_of_them(self) -> None:
        url = parse("amqp://me%40home:p%2Fw@one:1,two,[::1]:3/%2Fv/jobs%20a?prefetch=5&tls=yes", BROKER)
        assert url.scheme == "amqp"
        assert (url.user, url.password) == ("me@home", "p/w")
        assert url.hosts == (("one", 1), ("two", None), ("::1", 3))
        assert (url.path, url.name) == ("/v", "jobs a")
        assert (url.options["prefetch"], url.options["mode"], url.options["tls"]) == (5, "safe", True)
        assert url.options["connect_timeout"] == 10

    def test_without_what_may_be_left_out(self) -> None:
        url = parse("amqp://host/jobs", BROKER)
        assert (url.user, url.password, url.path, url.name) == ("", "", "", "jobs")
        assert parse("amqp://host//jobs", BROKER).path == ""

    @pytest.mark.parametrize(
        "bad",
        [
            "amqp://host",
            "amqp://host/",
            "amqp:///jobs",
            "amqp://host:port/jobs",
            "amqp://host:0/jobs",
            "amqp://host:70000/jobs",
            "amqp://a,,b/jobs",
            "amqp://[::1/jobs",
            "amqp://host/jobs#x",
            "amqp://host/jobs?prefetch",
            "amqp://host/jobs?prefetch=0",
            "amqp://host/jobs?prefetch=many",
            "amqp://host/jobs?prefetch=1&prefetch=2",
            "amqp://host/jobs?mode=wild",
            "amqp://host/jobs?tls=perhaps",
            "amqp://host/jobs?unheard=1",
            "amqp://host/jobs?connect_timeout=nan",
            "amqp://host/jo\nbs",
            "amqp://host/%00",
            "amqp://host/" + "x" * 201,
        ],
    )
    def test_wrong_ones(self, bad: str) -> None:
        with pytest.raises(ValueError, match="url is"):
            parse(bad, BROKER)

    def test_an_unknown_option_names_the_known_ones(self) -> None:
        with pytest.raises(ValueError, match=r"unheard.*connect_timeout.*mode.*prefetch"):
            parse("amqp://host/jobs?unheard=1", BROKER)

    def test_a_path_where_there_is_none(self) -> None:
        with pytest.raises(ValueError, match="only the name"):
            parse("nats://host/a/b", PLAIN)


class TestSecrets:
    URLS = (
        "amqp://user:s3cret@host/jobs",
        "amqp://user:s3cret@host",
        "amqp://user:s3/cret@host/jobs",
        "amqp://user:s3@cret@host/jobs",
        "amqp://user:s3cret@host:port/jobs",
        "amqp://s3cret@host/jobs?unheard=1",
        "amqp://host/jobs?password=s3cret",
        "amqp://host/jobs?api_token=s3cret&x=1",
        "amqp://user:s3cret@[::1/jobs",
        "amqp://user:s3cret@host/jobs#x",
        "amqp://user:s3#cret@host/jobs",
        "amqp://user:s3?cret@host/jobs",
        "amqp://user:[s3cret]@host/jobs",
    )

    @pytest.mark.parametrize("text", URLS)
    def test_are_never_shown(self, text: str) -> None:
        shown = [masked(text)]
        try:
            url = parse(text, BROKER)
        except ValueError as error:
            chain: BaseException | None = error
            while chain is not None:
                shown.append(repr(chain))
                chain = chain.__cause__ or chain.__context__
        else:
            shown += [str(url), repr(url), f"{url}", repr([url])]
        for each in shown:
            assert "s3" not in each, each
            assert "cret" not in each, each

    def test_a_pickle_has_them(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Broker(registry.Row):
            def load(self, scheme: str) -> Any:
                return SimpleNamespace(SHAPE=BROKER)

        monkeypatch.setitem(registry.ROWS, "broker", Broker("broker", ("queue",)))
        url = registry.url_of("broker://user:s3cret@host/jobs")
        again: Url = pickle.loads(pickle.dumps(url))
        assert again.password == "s3cret"
        assert again == url


class TestRegistry:
    @pytest.mark.parametrize("bad", ["name", "ftp://host/name", "://x", "", "shm2://x"])
    def test_an_unknown_scheme_names_the_known_ones(self, bad: str) -> None:
        for call in (conveyor.connect, conveyor.remove):
            with pytest.raises(
                ValueError, match=".*".join(re.escape(f"{scheme}://") for scheme in ("shm", *registry.ROWS))
            ):
                call(bad)

    @pytest.mark.parametrize("scheme", [scheme for scheme, row in registry.ROWS.items() if row.client])
    def test_a_missing_client_names_its_extra(self, scheme: str) -> None:
        row = registry.ROWS[scheme]

        class Missing(registry.Row):
            pass

        code = (
            "import sys, conveyor\n"
            "from conveyor.transports import registry\n"
            f"sys.modules[{row.client!r}] = None\n"
            "try:\n"
            f"    registry.Row('absent_{row.module}', (), {row.client!r}, {row.extra!r}).load({scheme!r})\n"
            "except ImportError as error:\n"
            "    print(error)\n"
        )
        assert row.extra
        # The module that needs it, without it.
        code = code.replace(
            "try:",
            "import types, importlib.abc, importlib.machinery\n"
            "class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):\n"
            "    def find_spec(self, name, path, target=None):\n"
            "        if name.startswith('conveyor.transports.absent_'):\n"
            "            return importlib.machinery.ModuleSpec(name, self)\n"
            "    def create_module(self, spec): return None\n"
            f"    def exec_module(self, module): import {row.client}\n"
            "sys.meta_path.insert(0, Finder())\n"
            "try:",
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert f"pip install 'conveyor[{row.extra}]'" in done.stdout, done.stderr

    def test_importing_loads_no_client(self) -> None:
        code = (
            "import sys, conveyor; conveyor.connect('memory://x').put(1); "
            "print([n for n in ('pika', 'confluent_kafka', 'redis', 'nats', 'sqlite3') if n in sys.modules])"
        )
        assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"

    def test_kinds(self) -> None:
        with pytest.raises(ValueError, match="kind"):
            conveyor.connect("memory://x?kind=topic", kind="queue")
        with pytest.raises(ValueError, match="maxsize"):
            conveyor.connect("memory://x?kind=topic", maxsize=3)
        with pytest.raises(ValueError, match="keep"):
            conveyor.connect("memory://x", keep=3)  # type: ignore[call-overload]
