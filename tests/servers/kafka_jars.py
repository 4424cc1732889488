"""The jars of Kafka, from Maven Central, once for this clone: build/kafka/VERSION."""

from __future__ import annotations

import fcntl
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .server import ServerFailed, program

__all__ = ["CannotReachMaven", "java", "kafka_jars", "locked"]

_POM = Path(__file__).parent / "kafka" / "pom.xml"
_BUILD = Path(__file__).parents[2] / "build" / "kafka"
_MAVEN_SECONDS = 600
# Maven's and Java's words for: there is no way to the repository.
_NO_WAY = re.compile(
    r"UnknownHost|Unknown host|Connection refused|Connect to |connect timed out|Network is unreachable|"
    r"No route to host|Could not transfer|Cannot access .* in offline mode|PKIX path|Temporary failure in name|"
    r"No plugin found for prefix"
)


class CannotReachMaven(Exception):
    """Maven Central cannot be reached, and its jars are not here; the text is Maven's."""


def java() -> str:
    return program("java", "default-jre-headless")


@contextmanager
def locked() -> Iterator[None]:
    """One test run of this clone at a time; others wait."""
    _BUILD.mkdir(parents=True, exist_ok=True)
    with (_BUILD / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def kafka_jars() -> Path:
    """The folder with the jars; fetched if need be, which takes a minute or two.

    Raises:
        ServerMissing: there is no Maven.
        CannotReachMaven: see there.
        ServerFailed: Maven fails for another reason.
    """
    [version] = re.findall(r"kafka_2\.13</artifactId>\s*<version>([\d.]+)<", _POM.read_text())
    jars = _BUILD / version
    with locked():
        if not jars.exists():
            maven = program("mvn", "maven")
            fetched = Path(tempfile.mkdtemp(dir=_BUILD, prefix="fetching-"))
            try:
                _fetch(maven, fetched)
                fetched.rename(jars)
            finally:
                shutil.rmtree(fetched, ignore_errors=True)
    return jars


def _fetch(maven: str, folder: Path) -> None:
    arguments = ["-q", "-B", "-f", str(_POM), "dependency:copy-dependencies", f"-DoutputDirectory={folder}"]
    said = ""
    for offline in (["-o"], []):  # what an earlier run has left in ~/.m2 will do
        try:
            done = subprocess.run(
                [maven, *offline, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=_MAVEN_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise CannotReachMaven(f"Maven had not fetched Kafka after {_MAVEN_SECONDS} s") from None
        if done.returncode == 0:
            return
        said = "\n".join(done.stdout.splitlines()[:20])
    if _NO_WAY.search(said):
        raise CannotReachMaven(said)
    raise ServerFailed(f"Maven cannot fetch Kafka:\n{said}")
