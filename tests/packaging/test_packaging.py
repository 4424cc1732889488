"""The package as people get it: sdist, wheel from the sdist, install, import, uninstall."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VERSION: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

pytestmark = pytest.mark.timeout(600)  # it compiles


_OF_BYTECODE = ("PYTHONPYCACHEPREFIX", "PYTHONDONTWRITEBYTECODE")


def run(*command: str | Path, cwd: Path | None = None) -> str:
    # Bytecode lies where users have it, or pip does not know of all that is to go.
    env = {name: value for name, value in os.environ.items() if name not in _OF_BYTECODE}
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The sdist of this tree, and the wheel built from that sdist alone."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, cwd=ROOT)
    [sdist] = folder.glob("*.tar.gz")
    [wheel] = folder.glob("*.whl")
    return sdist, wheel


@pytest.fixture(scope="module")
def wheel_names(distributions: tuple[Path, Path]) -> set[str]:
    return set(zipfile.ZipFile(distributions[1]).namelist())


@pytest.fixture(scope="module")
def clean_python(distributions: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that has the wheel and nothing else, not even its dependencies."""
    folder = tmp_path_factory.mktemp("clean")
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    python = folder / "bin" / "python"
    run(
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--no-deps",
        "--no-index",
        distributions[1],
    )
    return python


def test_sdist_has_what_the_build_needs_and_no_litter(distributions: tuple[Path, Path]) -> None:
    with tarfile.open(distributions[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "CMakeLists.txt", "LICENSE", "README.md", "src/conveyor/py.typed"} <= names
    assert any(name.startswith("core/src/") for name in names)
    litter = {
        name for name in names if name.endswith((".so", ".pyc", ".o")) or name.startswith((".venv", "build/"))
    }
    assert not litter


def test_wheel_is_typed_and_has_one_extension(wheel_names: set[str]) -> None:
    assert "conveyor/py.typed" in wheel_names
    extensions = [name for name in wheel_names if name.endswith(".so")]
    assert len(extensions) == 1
    assert extensions[0].startswith("conveyor/_native.")


def test_wheel_has_every_python_file_and_no_cpp(wheel_names: set[str]) -> None:
    sources = {str(path.relative_to(ROOT / "src")) for path in (ROOT / "src" / "conveyor").rglob("*.py")}
    assert sources <= wheel_names
    foreign = {
        name for name in wheel_names if name.endswith((".cpp", ".hpp", ".h", ".a", ".o", ".cmake", ".txt"))
    }
    assert not {name for name in foreign if ".dist-info/" not in name}
    tops = {name.partition("/")[0] for name in wheel_names}
    assert tops == {"conveyor", f"conveyor-{VERSION}.dist-info"}


def test_metadata(distributions: tuple[Path, Path]) -> None:
    archive = zipfile.ZipFile(distributions[1])
    metadata = HeaderParser().parsestr(archive.read(f"conveyor-{VERSION}.dist-info/METADATA").decode())
    assert metadata["Version"] == VERSION
    assert metadata["Requires-Python"] == ">=3.11"
    assert [each for each in metadata.get_all("Requires-Dist", []) if "extra ==" not in each] == []
    assert any(name.endswith("licenses/LICENSE") for name in archive.namelist())
    assert "conveyor = conveyor." in archive.read(f"conveyor-{VERSION}.dist-info/entry_points.txt").decode()


def test_works_from_the_wheel_alone(clean_python: Path, tmp_path: Path) -> None:
    program = (
        "import conveyor, importlib.metadata as m\n"
        "assert conveyor.__version__ == m.version('conveyor')\n"
        "q = conveyor.Queue(); q.put({'a': (1, b'x')}); print(conveyor.__version__, q.get())"
    )
    assert run(clean_python, "-I", "-c", program, cwd=tmp_path) == f"{VERSION} {{'a': (1, b'x')}}\n"


def test_uninstall_leaves_nothing(clean_python: Path) -> None:
    run(clean_python, "-c", "import conveyor")
    run(sys.executable, "-m", "pip", "--python", clean_python, "uninstall", "--yes", "conveyor")
    site = Path(run(clean_python, "-c", "import sysconfig; print(sysconfig.get_path('platlib'))").strip())
    assert not [path.name for path in site.iterdir() if "conveyor" in path.name]


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_another_system_gets_one_clear_error(platform: str) -> None:
    program = f"import sys; sys.platform = {platform!r}; import conveyor"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: conveyor needs Linux"), last
    assert platform in last
    assert "multiprocessing" in last, "the error says what to use there instead"
    assert "During handling" not in done.stderr
