"""What the shells complete: verbs, options, and queues in shared memory. Real shells, the script as it is printed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

import conveyor

SHELLS = ["bash", "zsh", "fish"]


@pytest.fixture
def name() -> Iterator[str]:
    name = f"test-{uuid.uuid4().hex}"
    conveyor.connect(f"shm://{name}")
    yield name
    conveyor.remove(f"shm://{name}")


def environment() -> dict[str, str]:
    """In which `conveyor` is the command of this interpreter."""
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "LANG": "C.UTF-8",
    }


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment(), timeout=120)
    return done.stdout


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """By shell, a file with its script."""
    folder = tmp_path_factory.mktemp("completion")
    paths = {shell: folder / shell for shell in SHELLS}
    for shell, path in paths.items():
        path.write_text(run("conveyor", "completion", shell))
    return paths


def completed(shell: str, script: Path, line: str, folder: Path) -> list[str]:
    """What the shell offers behind this line."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed (apt-get install {shell})")
    if shell == "bash":
        # As bash calls it: the words are broken at a colon, too.
        words = line.replace(":", " : ").split(" ")
        program = (
            f'source {script}; COMP_WORDBREAKS=$\' \\t\\n"><=;|&(:\'; COMP_LINE="$1"; COMP_POINT=${{#1}}; shift; '
            'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _conveyor_with_names conveyor; printf "%s\\n" "${COMPREPLY[@]}"'
        )
        return run("bash", "-c", program, "bash", line, *words).split()
    if shell == "fish":
        return [
            row.split("\t")[0]
            for row in run("fish", "-c", f"source {script}; complete -C '{line}'").splitlines()
        ]
    program = folder / "zsh.zsh"
    program.write_text(
        ZSH.replace("SCRIPT", str(script))
        .replace("LINE", line)
        .replace("OUT", str(folder / "offered"))
        .replace("WANTED", line.split()[-1])
    )
    return run("zsh", "-f", program).split()


# Its completion works only at a prompt: one in a terminal of zsh's own. What is offered goes through `compadd`.
ZSH = r"""
zmodload zsh/zpty zsh/zselect
zpty shell 'zsh -f -i'
zpty -w shell 'autoload -Uz compinit; compinit -u -D; source SCRIPT
compadd() { print -r -- "$@" >> OUT; builtin compadd "$@" }; print -r -- "<<""READY>>"'
zpty -r -m shell ready '*<<READY>>*'
zpty -w -n shell $'LINE\t'
for turn in {1..600}; do
  zpty -r -t shell drained; grep -qs -- WANTED OUT && break
  zselect -t 10
done
cat OUT
"""


class TestShells:
    # Of zsh these two are told to functions of its own by arrays: what they offer is not seen from here.
    @pytest.mark.parametrize("shell", ["bash", "fish"])
    def test_verbs(self, shell: str, scripts: dict[str, Path], tmp_path: Path) -> None:
        found = completed(shell, scripts[shell], "conveyor p", tmp_path)
        assert {"pause", "peek", "purge", "put"} <= set(found)
        assert "get" not in found

    @pytest.mark.parametrize("shell", ["bash", "fish"])
    def test_options(self, shell: str, scripts: dict[str, Path], tmp_path: Path) -> None:
        found = completed(shell, scripts[shell], "conveyor get --ti", tmp_path)
        assert "--timeout" in " ".join(found)

    @pytest.mark.parametrize("shell", SHELLS)
    def test_queues(self, shell: str, scripts: dict[str, Path], name: str, tmp_path: Path) -> None:
        found = completed(shell, scripts[shell], "conveyor info shm://test-", tmp_path)
        # Of bash only what stands behind the colon: it has the rest already.
        assert any(word.endswith(f"//{name}") for word in found), found


def test_a_shell_that_it_does_not_know_is_told() -> None:
    done = subprocess.run(
        ["conveyor", "completion", "tcsh"], capture_output=True, text=True, check=False, env=environment()
    )
    assert done.returncode == 2
    assert "tcsh" in done.stderr


def test_names_and_labels_alone(name: str) -> None:
    queue: conveyor.Queue[int] = conveyor.Queue(label=f"label-{name}")
    assert {f"shm://{name}", f"label-{name}"} <= set(run("conveyor", "ls", "--names").split())
    queue.close()
