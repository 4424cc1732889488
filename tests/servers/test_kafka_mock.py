"""Where Maven Central cannot be reached, Kafka is librdkafka's mock, and the report says so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from servers import make
from servers.clients import find, keep

TESTS = Path(__file__).parents[1]

# A repository that nobody answers for, and nothing fetched yet.
NOWHERE = """<settings><mirrors><mirror><id>nowhere</id><mirrorOf>*</mirrorOf>
<url>https://127.0.0.1:1/</url></mirror></mirrors></settings>"""

SUITE = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from servers import kafka_jars
kafka_jars._BUILD = Path({build!r})
from servers.fixtures import *

def test_it(kafka):
    assert kafka.running
    assert kafka.mock
"""


def without_maven_central(home: Path) -> dict[str, str]:
    (home / ".m2").mkdir()
    (home / ".m2" / "settings.xml").write_text(NOWHERE)
    return {**os.environ, "MAVEN_OPTS": f"-Duser.home={home}"}


def test_the_mock_serves() -> None:
    server = make("kafka-mock")
    server.start()
    try:
        keep(server, b"first")
        assert find(server) == b"first"
        assert server.url("jobs") == f"kafka://127.0.0.1:{server.port}/jobs"
    finally:
        server.kill()


@pytest.mark.slow
@pytest.mark.timeout(900)  # Maven tries again and again
def test_a_run_without_maven_central_says_that_it_was_the_mock(tmp_path: Path) -> None:
    conftest = SUITE.format(tests=str(TESTS), build=str(tmp_path / "build"))
    (tmp_path / "conftest.py").write_text(conftest.split("def test_it")[0])
    (tmp_path / "test_it.py").write_text(f"def test_it{conftest.split('def test_it')[1]}")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, str(tmp_path)],
        env=without_maven_central(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "kafka: mock" in done.stdout
    assert "the tests of Kafka ran against librdkafka's mock, not against Kafka" in done.stdout
    assert "127.0.0.1:1" in done.stdout  # Maven's own words


@pytest.mark.parametrize("missing", ["java", "mvn"])
def test_without_java_or_maven_it_fails_and_says_what_to_install(missing: str, tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from servers import kafka_jars, server
server._MORE_PLACES = ()
kafka_jars._BUILD = Path(sys.argv[2])
try:
    server_made = __import__("servers").make("kafka")
except server.ServerMissing as error:
    print(error)
"""
    there = tmp_path / "bin"
    there.mkdir()
    for name in {"java", "mvn"} - {missing}:
        (there / name).symlink_to(f"/usr/bin/{name}")
    done = subprocess.run(
        [sys.executable, "-c", program, str(TESTS), str(tmp_path / "build")],
        env={**os.environ, "PATH": str(there)},
        capture_output=True,
        text=True,
        check=True,
    )
    package = {"java": "default-jre-headless", "mvn": "maven"}[missing]
    assert f"{missing} is not installed: sudo apt-get install {package}" in done.stdout
