"""What the dashboard answers, and whom it refuses: real server processes."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from dash_process import PATIENCE, Dashboard
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_prometheus

import conveyor
from conveyor import Queue, Topic

Start = Callable[..., Dashboard]
HOSTILE = "<script>alert('&\"')</script>"


@contextmanager
def named(name: str) -> Iterator[Any]:
    url = f"shm://{name}-{os.getpid()}"
    queue = conveyor.connect(url)
    try:
        yield queue
    finally:
        queue.close()
        conveyor.remove(url)


def row_of(dashboard: Dashboard, title: str) -> dict[str, Any]:
    """Of a queue, as soon as it is seen."""
    for frame in frames(dashboard, "queues"):
        for row in frame:
            if row["title"] == title:
                return dict(row)
    raise AssertionError


def frames(dashboard: Dashboard, view: str, most: int = 20) -> Iterator[Any]:
    """What a page is told."""
    connection = http.client.HTTPConnection("127.0.0.1", dashboard.port, timeout=PATIENCE)
    try:
        connection.request("GET", f"/events?view={view}")
        answer = connection.getresponse()
        assert answer.status == 200
        for _ in range(most):
            assert answer.readline() == f"event: {view}\n".encode()
            yield json.loads(answer.readline().removeprefix(b"data: "))
            assert answer.readline() == b"\n"
    finally:
        connection.close()


class TestAnswers:
    def test_are_as_the_schema_says(self, dashboard: Start) -> None:
        queue, topic = Queue(maxsize=10, label=HOSTILE), Topic(label="prices")
        with named("schema") as other, topic.subscribe():
            for n in range(5):
                queue.put(n)
            topic.publish("x")
            running = dashboard("redis://127.0.0.1:1/0/nobody")
            id_ = row_of(running, HOSTILE)["id"]
            schema = running.json("/api/schema")
            jsonschema.Draft202012Validator.check_schema(schema)
            for address in schema["properties"]:
                answer = running.json(address.replace("{id}", id_))
                jsonschema.validate({address: answer}, schema)
                assert answer or address in ("/api/pipelines", "/api/failures")
            detail = running.json(f"/api/queues/{id_}")
            assert detail["queue"]["depth"] == 5
            assert detail["items_in"] == 5
            assert detail["may_act"]
            assert [each["pid"] for each in detail["processes"]] == [os.getpid()]
            assert row_of(running, f"shm://schema-{os.getpid()}")["url"] is not None
            del other
        queue.close()

    def test_of_what_is_not_there(self, dashboard: Start) -> None:
        running = dashboard()
        for path in (
            "/api/queues/1:2",
            "/api/queues/1:2/items",
            "/api/nothing",
            "/static/../server.py",
            "/x",
        ):
            assert running.ask(path)[0] == 404, path
        assert running.ask("/api/queues/1:2/items?n=0")[0] == 400
        assert running.ask("/events?view=nothing")[0] == 404
        assert running.ask("/healthz")[0] == 200

    def test_what_waits_can_be_moved_retried_and_purged(self, dashboard: Start) -> None:
        with named("from") as source, named("into") as target:
            source.put(HOSTILE)
            source.put(conveyor.DeadLetter({"n": 1}, 3, "ValueError: bad", 17))
            running = dashboard()
            csrf = {"x_conveyor_token": running.csrf()}
            one, other = (row_of(running, f"shm://{name}-{os.getpid()}")["id"] for name in ("from", "into"))
            items = running.json(f"/api/queues/{one}/items")["items"]
            assert [each["dead"] for each in items] == [False, True]
            assert items[0]["text"] == repr(HOSTILE)
            assert source.qsize() == 2
            status, _, body = running.ask(f"/api/queues/{one}/retry", "POST", {"to": other}, **csrf)
            assert (status, json.loads(body)) == (200, {"moved": 2})
            assert target.peek(2) == [HOSTILE, {"n": 1}]
            status, _, body = running.ask(f"/api/queues/{other}/move", "POST", {"to": one, "n": 1}, **csrf)
            assert (status, json.loads(body)) == (200, {"moved": 1})
            assert running.ask(f"/api/queues/{one}/move", "POST", {"to": one}, **csrf)[0] == 409
            status, _, body = running.ask(f"/api/queues/{other}/purge", "POST", {}, **csrf)
            assert (status, json.loads(body)) == (200, {"purged": 1})
            assert (source.qsize(), target.qsize()) == (1, 0)

    def test_a_queue_without_a_name_is_as_good(self, dashboard: Start, tmp_path: Path) -> None:
        program = tmp_path / "program.py"
        label = f"nobody-{os.getpid()}"
        program.write_text(
            f"import conveyor, sys\nq = conveyor.Queue(label='{label}')\n"
            f"letters = conveyor.Queue(label='{label}-dead')\n"
            "letters.put(conveyor.DeadLetter({'n': 1}, 3, 'ValueError: bad', 17))\n"
            "letters.put(conveyor.DeadLetter(None, 3, 'BadMessage', 17, b'raw'))\n"
            "q.put('x')\nprint(flush=True)\nsys.stdin.read()\n"
        )
        with subprocess.Popen(
            [sys.executable, program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as theirs:
            try:
                assert theirs.stdout is not None
                theirs.stdout.readline()
                running, watching = dashboard(), dashboard("--read-only")
                csrf = {"x_conveyor_token": running.csrf()}
                one, dead = (row_of(running, title)["id"] for title in (label, f"{label}-dead"))
                assert [each["text"] for each in running.json(f"/api/queues/{one}/items")["items"]] == ["'x'"]
                assert running.json(f"/api/queues/{one}")["may_act"]
                row_of(watching, label)
                assert not watching.json(f"/api/queues/{one}")["may_act"]
                theirs_csrf = {"x_conveyor_token": watching.csrf()}
                assert watching.ask(f"/api/queues/{one}/purge", "POST", {}, **theirs_csrf)[0] == 404
                for source, verb, asked, answer in (
                    (dead, "retry", {"to": one}, {"moved": 1}),  # what could not be read stays
                    (one, "move", {"to": dead, "n": 1}, {"moved": 1}),
                    (one, "purge", {}, {"purged": 1}),
                    (dead, "purge", {}, {"purged": 2}),
                ):
                    status, _, body = running.ask(f"/api/queues/{source}/{verb}", "POST", asked, **csrf)
                    assert (status, json.loads(body)) == (200, answer), verb
                assert running.ask(f"/api/queues/{one}/move", "POST", {"to": one}, **csrf)[0] == 409
            finally:
                theirs.kill()
        # The dashboard keeps none of it.
        for frame in frames(running, "queues"):
            if not any(row["title"].startswith(label) for row in frame):
                break
        else:
            raise AssertionError("it is there still")
        assert running.ask(f"/api/queues/{one}/items")[0] == 404

    def test_a_broker_that_is_not_there_holds_up_nothing(self, dashboard: Start) -> None:
        with socket.socket() as silent:  # accepts, and says nothing
            silent.bind(("127.0.0.1", 0))
            silent.listen(5)
            running = dashboard(
                f"redis://me:secret@127.0.0.1:{silent.getsockname()[1]}/0/x", "redis://127.0.0.1:1/0/y"
            )
            for rows in frames(running, "brokers"):
                assert "secret" not in json.dumps(rows)
                assert rows[0]["state"] in ("connecting", "unreachable")
                if rows[1]["state"] == "unreachable":
                    break
            assert rows[1]["error"]
            assert running.json("/api/overview")["brokers"]

    def test_a_broker_is_asked(self, dashboard: Start, tmp_path: Any) -> None:
        url = f"sqlite:///{tmp_path}/jobs.db"
        queue = conveyor.connect(url)
        queue.put("x")
        running = dashboard(url)
        for rows in frames(running, "brokers"):
            if rows[0]["state"] == "ok":
                break
        assert rows[0]["figures"]["depth"] == 1
        assert running.json("/api/queues/broker-0/items")["items"][0]["text"] == "'x'"
        queue.lease(timeout=10).reject("no")
        assert queue.qsize() == 0
        csrf = {"x_conveyor_token": running.csrf()}
        status, _, body = running.ask("/api/queues/broker-0/retry", "POST", {"to": "broker-0"}, **csrf)
        assert (status, json.loads(body)) == (200, {"moved": 1})
        assert queue.get(timeout=10) == "x"
        queue.close()

    def test_a_pipeline_and_its_failures_are_shown(self, dashboard: Start) -> None:
        program = (
            "import time, conveyor\n"
            "def fail(n):\n    time.sleep(0.01)\n    raise ValueError('<b>' + str(n))\n"
            "pipeline = conveyor.Pipeline(range(10**6), name='nightly')\n"
            "pipeline.map(fail, workers=2, name='fetch', on_error='skip').run()\n"
        )
        running = dashboard()
        with subprocess.Popen([sys.executable, "-c", program]) as run:
            try:
                for rows in frames(running, "pipelines", 60):
                    row = next((row for row in rows if row["pid"] == run.pid), None)
                    if row is not None and row["failed"]:
                        break
                assert row is not None
                assert row["name"] == "nightly"
                assert "fetch" in [stage["name"] for stage in row["stages"]]
                failures = running.json("/api/failures")
                jsonschema.validate({"/api/failures": failures}, running.json("/api/schema"))
                jsonschema.validate({"/api/pipelines": rows}, running.json("/api/schema"))
                failure = next(each["failure"] for each in failures if each["pid"] == run.pid)
                assert failure["kind"] == "ValueError"
                assert "ValueError: <b>" in failure["traceback"]
            finally:
                run.kill()


class TestMetrics:
    def test_both_forms_can_be_read(self, dashboard: Start) -> None:
        label = 'a "b" \\c'
        queue = Queue(label=label)
        queue.put(b"123")
        queue.get()
        running = dashboard()
        row_of(running, label)
        _, headers, body = running.ask("/metrics", accept="text/plain")
        assert headers["content-type"].startswith("text/plain; version=0.0.4")
        plain = {family.name: family for family in parse_prometheus(body.decode())}
        accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
        _, headers, body = running.ask("/metrics", accept=accept)
        assert headers["content-type"].startswith("application/openmetrics-text")
        opened = {family.name: family for family in parse_openmetrics(body.decode())}
        assert opened.keys() == plain.keys()
        for families in (plain, opened):
            values = [
                s.value for s in families["conveyor_queue_items_put"].samples if s.labels["queue"] == label
            ]
            assert values == [1.0]
            assert {s.labels["kind"] for s in families["conveyor_queue_items_put"].samples} >= {"anonymous"}
        assert opened["conveyor_queue_put_blocked_seconds"].unit == "seconds"
        queue.close()


class TestSafety:
    @pytest.mark.parametrize("host", ["evil.example", "evil.example:8642", "127.0.0.1.evil.example", ""])
    def test_another_host_is_refused(self, dashboard: Start, host: str) -> None:
        running = dashboard()
        for path in ("/", "/api/queues", "/metrics", "/events", "/healthz"):
            assert running.ask(path, host=host)[0] == 421, path

    def test_a_page_of_another_site_changes_nothing(self, dashboard: Start) -> None:
        with named("csrf") as queue:
            queue.put(1)
            running = dashboard()
            path = f"/api/queues/{row_of(running, f'shm://csrf-{os.getpid()}')['id']}/purge"
            csrf = {"x_conveyor_token": running.csrf()}
            assert len(csrf["x_conveyor_token"]) > 20
            for headers in (
                {},
                {"x_conveyor_token": ""},
                {"x_conveyor_token": "x" * 32},
                {**csrf, "origin": "http://evil.example"},
                {**csrf, "origin": "null"},
                {**csrf, "origin": f"http://127.0.0.1:{running.port + 1}"},
                {**csrf, "sec_fetch_site": "cross-site"},
            ):
                assert running.ask(path, "POST", {}, **headers)[0] == 403, headers
                assert queue.qsize() == 1
            assert running.ask(path, "GET", **csrf)[0] == 405
            assert running.ask(path, "POST", {}, **csrf, origin=running.origin)[0] == 200
            assert queue.qsize() == 0

    def test_read_only_has_no_way_to_change_anything(self, dashboard: Start) -> None:
        with named("read-only") as queue:
            queue.put(1)
            running = dashboard("--read-only")
            id_ = row_of(running, f"shm://read-only-{os.getpid()}")["id"]
            csrf = {"x_conveyor_token": running.csrf()}
            for verb in ("purge", "move", "retry"):
                assert running.ask(f"/api/queues/{id_}/{verb}", "POST", {}, **csrf)[0] == 404
            assert queue.qsize() == 1

    def test_beyond_loopback_a_token_is_needed(self, dashboard: Start) -> None:
        running = dashboard("--host", "0.0.0.0")
        token = running.url.partition("?token=")[2]
        assert len(token) > 20
        host = f"127.0.0.1:{running.port}"
        for path in ("/", "/api/queues", "/metrics", "/events", "/static/app.js", "/?token=wrong"):
            assert running.ask(path, host=host)[0] == 401, path
        assert running.ask("/metrics", host=host, authorization=f"Bearer {token}")[0] == 200
        status, headers, _ = running.ask(f"/?token={token}", host=host)
        assert (status, headers["location"]) == (303, "/")
        assert {"HttpOnly", "SameSite=Strict"} <= set(headers["set-cookie"].split("; "))
        cookie = headers["set-cookie"].partition(";")[0]
        assert running.ask("/", host=host, cookie=cookie)[0] == 200
        assert running.ask("/", host="evil.example", cookie=cookie)[0] == 421

    def test_every_answer_forbids_foreign_code(self, dashboard: Start) -> None:
        running = dashboard()
        for path in ("/", "/static/app.js", "/api/queues", "/nothing"):
            policy = running.ask(path)[1]["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "script-src 'self'" in policy
            assert "unsafe" not in policy
        page = running.ask("/")[2].decode()
        assert not re.search(
            r"<script(?![^>]*\bsrc=\"/static/)|\son\w+=|style=|https?://(?!www\.w3\.org)", page
        )


class TestTheProcess:
    def test_takes_the_next_port_when_one_is_taken(self, dashboard: Start) -> None:
        first = dashboard()
        second = dashboard(port=first.port)
        assert first.port < second.port <= first.port + 100

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_ends_in_good_order_while_pages_are_open(self, dashboard: Start, number: signal.Signals) -> None:
        running = dashboard()
        shown = frames(running, "overview")
        next(shown)
        running.process.send_signal(number)
        assert running.process.wait(PATIENCE) == 0
        assert running.process.stderr is not None
        assert running.process.stderr.read() == ""
        shown.close()

    def test_who_reads_nothing_is_no_burden(self, dashboard: Start) -> None:
        running = dashboard()
        with socket.create_connection(("127.0.0.1", running.port)) as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.sendall(
                f"GET /events?view=queues HTTP/1.1\r\nHost: 127.0.0.1:{running.port}\r\n\r\n".encode()
            )
            times = [frame["time"] for frame in frames(running, "overview", 4)]
            assert times == sorted(times)

    def test_at_most_so_many_pages(self, dashboard: Start) -> None:
        running = dashboard()
        open_ = [frames(running, "overview") for _ in range(32)]
        for each in open_:
            next(each)
        assert running.ask("/events?view=overview")[0] == 503
        for each in open_:
            each.close()

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["--host", "a/b"], "host is 'a/b'"),
            (["--port", "99999"], "port is 99999"),
            (["jobs"], "'jobs' is no URL"),
            (["--token", "a b"], "token has characters"),
        ],
    )
    def test_what_cannot_be_is_said(self, words: list[str], said: str) -> None:
        command = [sys.executable, "-m", "conveyor", "dash", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr


def test_metrics_are_printed_once() -> None:
    queue = Queue(label="printed once")
    command = [sys.executable, "-m", "conveyor", "metrics"]
    plain = subprocess.check_output(command, text=True, timeout=PATIENCE)
    opened = subprocess.check_output([*command, "--openmetrics"], text=True, timeout=PATIENCE)
    for families in (parse_prometheus(plain), parse_openmetrics(opened)):
        labels = [s.labels["queue"] for family in families for s in family.samples if "queue" in s.labels]
        assert "printed once" in labels
    queue.close()
