"""Who may import whom: the layer maps, enforced.

src/conveyor/__init__.py has the map of the package, the __init__.py of a folder that of its files, and CMakeLists.txt
those of the core and of the native code. They are parsed from these comments, so that the text which people read and
the rule which is enforced cannot drift apart.
"""

from __future__ import annotations

import ast
import json
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "conveyor"
CORE = ROOT / "core"
NATIVE = PACKAGE / "_native"
# Folders whose files stand on floors of their own.
MAPPED = sorted(
    str(room.relative_to(PACKAGE))
    for room in (init.parent for init in PACKAGE.rglob("__init__.py"))
    if room not in (PACKAGE, PACKAGE / "_pyinstaller") and len(list(room.glob("*.py"))) > 2
)
ROW = re.compile(r"#   (?P<names>[\w/]+(?:, [\w/]+)*)(?: \| (?P<outside>\w+(?: \w+)*))?")

# Standard modules too heavy or too far from the subject to be loaded by a mere `import conveyor`.
NOT_AT_IMPORT = {
    "asyncio",
    "concurrent",
    "ctypes",
    "email",
    "http",
    "multiprocessing",
    "ssl",
    "subprocess",
    "unittest",
}
# What `import asyncio` costs: a machine that is busy with other things, or slow, makes both longer.
IMPORT_BUDGET = "asyncio"


@dataclass(frozen=True)
class LayerMap:
    floors: dict[str, int]  # name -> height; higher may import lower
    outside: dict[str, frozenset[str]]  # name -> packages outside the standard library


def parse_map(text: str, of: str = "") -> LayerMap:
    """The map whose comment begins with `# Layer map{of}`."""
    lines = map(str.strip, text.splitlines())
    for line in lines:
        if re.match(rf"# Layer map{of}\b", line):
            break
    else:
        raise ValueError(f"no comment that begins with '# Layer map{of}'")
    rows: list[re.Match[str]] = []
    for line in lines:
        row = ROW.fullmatch(line.rstrip())
        if row:
            rows.append(row)
        elif rows or not line.startswith("#"):
            break
    floors: dict[str, int] = {}
    outside: dict[str, frozenset[str]] = {}
    for height, row in enumerate(reversed(rows)):
        for name in row["names"].split(", "):
            if name in floors:
                raise ValueError(f"{name!r} stands in the layer map twice")
            floors[name] = height
            outside[name] = frozenset((row["outside"] or "").split())
    return LayerMap(floors, outside)


def floor_of(path: Path) -> str:
    """The name under which the layer map knows a module of the package."""
    relative = path.relative_to(PACKAGE)
    return f"{relative.parts[0]}/" if len(relative.parts) > 1 else relative.stem


def name_of_module(dotted: str) -> str:
    """The floor of `conveyor.a.b`; the package itself when it is not a submodule."""
    parts = dotted.split(".")[1:]
    if not parts:
        return "__init__"
    if parts[0] == "_native" or (PACKAGE / f"{parts[0]}.py").exists():
        return parts[0]
    return f"{parts[0]}/" if (PACKAGE / parts[0] / "__init__.py").exists() else "__init__"


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    """Every import in the file, in functions too: its line and the full dotted name."""
    package = ["conveyor", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text(), path)):
        match node:
            case ast.Import():
                for alias in node.names:
                    yield node.lineno, alias.name
            case ast.ImportFrom():
                base = package[: len(package) - node.level + 1] if node.level else []
                base = [*base, *(node.module or "").split(".")] if node.module else base
                for alias in node.names:
                    yield node.lineno, ".".join([*base, alias.name])
            case ast.Call(
                func=ast.Attribute(attr="import_module") | ast.Name(id="import_module" | "__import__")
            ):
                match node.args:
                    case [ast.Constant(value=str(name)), *_] if not name.startswith("."):
                        yield node.lineno, name


def module_files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


@pytest.fixture(scope="module")
def layers() -> LayerMap:
    return parse_map((PACKAGE / "__init__.py").read_text())


def test_the_map_names_every_module_and_nothing_else(layers: LayerMap) -> None:
    there = {floor_of(path) for path in module_files()} | {"_native"}
    assert there - layers.floors.keys() == set(), "modules that the layer map does not name"
    assert layers.floors.keys() - there == set(), "names in the layer map that no module has"


@pytest.mark.parametrize("path", module_files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_only_what_stands_lower(path: Path, layers: LayerMap) -> None:
    own = floor_of(path)
    wrong = []
    for line, dotted in imports_of(path):
        top = dotted.split(".")[0]
        if top == "conveyor":
            other = name_of_module(dotted)
            if other != own and layers.floors[other] >= layers.floors[own]:
                wrong.append(f"line {line}: {dotted} stands on the floor of {other}, not under {own}")
        elif top not in sys.stdlib_module_names and top not in layers.outside[own]:
            wrong.append(f"line {line}: {top} is outside the standard library; the layer map must allow it")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("folder", MAPPED)
def test_the_files_of_a_folder_import_only_what_stands_lower(folder: str) -> None:
    room, prefix = PACKAGE / folder, f"conveyor.{folder.replace('/', '.')}."
    floors = parse_map((room / "__init__.py").read_text()).floors

    def floor(parts: tuple[str, ...]) -> str | None:
        """What the map calls the file or folder that a name in the folder begins with; None: its __init__."""
        return next((name for name in (parts[0], f"{parts[0]}/") if name in floors), None)

    files = {
        path: f"{parts[0]}/" if len(parts := path.relative_to(room).parts) > 1 else path.stem
        for path in room.rglob("*.py")
        if path != room / "__init__.py"
    }
    assert set(files.values()) == floors.keys(), "the layer map names every file, and nothing else"
    wrong = [
        f"{path.name}:{line}: {dotted} is not under {own}"
        for path, own in files.items()
        for line, dotted in imports_of(path)
        if dotted.startswith(prefix)
        and (other := floor(tuple(dotted.removeprefix(prefix).split(".")))) not in (None, own)
        and floors[other] >= floors[own]
    ]
    assert not wrong, "\n".join(wrong)


class TestTheParser:
    TEXT = """
# Layer map, highest floor first. Prose may follow,
# in several lines.
#
#   cli/ | rich cyclopts
#   queue, pipe
#   errors
#
# Other words.
#   trap
"""

    def test_floors_rise_from_the_last_row(self) -> None:
        found = parse_map(self.TEXT)
        assert found.floors == {"errors": 0, "queue": 1, "pipe": 1, "cli/": 2}
        assert found.outside["cli/"] == {"rich", "cyclopts"}
        assert found.outside["pipe"] == frozenset()

    def test_a_name_stands_once(self) -> None:
        with pytest.raises(ValueError, match="twice"):
            parse_map(self.TEXT.replace("queue, pipe", "queue, errors"))

    def test_without_a_map(self) -> None:
        with pytest.raises(ValueError, match="Layer map"):
            parse_map("nothing here")


class TestTheCore:
    """The core never knows Python, and its headers stand on each other without a circle."""

    FILES = sorted(path for path in CORE.rglob("*") if path.suffix in {".hpp", ".cpp"})

    @pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
    def test_never_includes_python(self, path: Path) -> None:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            assert not re.search(r"#\s*include.*(Python\.h|nanobind|pybind11|_native/)", line), (
                f"line {number}"
            )
            code = line.split("//")[0]
            assert not re.search(r"\bPy(_|[A-Z]\w+_)[A-Z]\w+|\bPyObject\b|\bnb::", code), f"line {number}"

    @pytest.mark.parametrize(
        ("of", "roots"),
        [
            (" of core", (CORE / "include" / "conveyor", CORE / "src")),
            (" of src/conveyor/_native", (NATIVE,)),
        ],
        ids=["core", "native"],
    )
    def test_folders_include_only_what_stands_lower(self, of: str, roots: tuple[Path, ...]) -> None:
        floors = parse_map((ROOT / "CMakeLists.txt").read_text(), of).floors

        def floor(within: Path) -> str:
            return f"{within.parts[0]}/" if len(within.parts) > 1 else within.stem

        wrong, seen = [], set[str]()
        for root in roots:
            for path in (each for each in root.rglob("*") if each.suffix in {".hpp", ".cpp"}):
                own = floor(path.relative_to(root))
                seen.add(own)
                for name in re.findall(r'#\s*include ["<]([^">]+)[">]', path.read_text()):
                    found = [
                        at.relative_to(each)
                        for each in roots
                        for at in ((path.parent / name).resolve(), (each.parent / name).resolve())
                        if at.exists() and each in at.parents
                    ]
                    if found and (other := floor(found[0])) != own and floors[other] >= floors[own]:
                        wrong.append(f"{path.relative_to(root)}: {name} is not under {own}")
        assert seen == floors.keys(), "the layer map names every folder, and nothing else"
        assert not wrong, "\n".join(wrong)

    def test_headers_have_no_circle(self) -> None:
        headers = CORE / "include" / "conveyor"
        includes = {
            str(path.relative_to(headers)): set(
                re.findall(r'#\s*include "conveyor/([\w./]+)"', path.read_text())
            )
            for path in headers.rglob("*.hpp")
        }
        assert includes
        while includes:
            ready = [name for name, needs in includes.items() if not needs & includes.keys()]
            assert ready, f"these headers include each other in a circle: {sorted(includes)}"
            for name in ready:
                del includes[name]


class TestImportConveyor:
    def test_loads_no_optional_and_no_heavy_module(self) -> None:
        # What stands for a module's former name is made at import, and has no spec.
        program = (
            "import sys, json; before = set(sys.modules); import conveyor; "
            "fresh = {name: sys.modules[name] for name in set(sys.modules) - before}; "
            "print(json.dumps([name for name in fresh if getattr(fresh[name], '__spec__', None)]))"
        )
        loaded = json.loads(subprocess.check_output([sys.executable, "-c", program], text=True))
        tops = {name.split(".")[0] for name in loaded}
        assert "conveyor" in tops
        outside = (
            tops - sys.stdlib_module_names - {"conveyor", "_xxsubinterpreters"}
        )  # which 3.11 and 3.12 do not list
        assert not outside, "import conveyor loads packages that are not its own"
        assert not tops & NOT_AT_IMPORT
        upper = {
            name
            for name in loaded
            if re.match(r"conveyor\.(cli|bench|pipeline|topics|shared|transports)\b", name)
        }
        assert not upper, "these are imported when they are used"

    def test_a_python_without_sqlite_runs_pipelines(self) -> None:
        # One that was compiled where there was no SQLite: all but `resume` and sqlite:// is there.
        program = (
            "import sys; sys.modules['_sqlite3'] = None; import conveyor; "
            "print(list(conveyor.Pipeline(range(3)).map(str, threads=1).stream()))"
        )
        assert subprocess.check_output([sys.executable, "-c", program], text=True) == "['0', '1', '2']\n"

    @pytest.mark.skipif("CONVEYOR_SANITIZED" in os.environ, reason="a sanitizer makes everything slow")
    def test_costs_little(self, tmp_path: Path) -> None:
        # With bytecode, as an installed package has it; the first writes it.
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path)}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)

        def cost(module: str) -> float:
            program = f"import time; start = time.process_time(); import {module}; print(time.process_time() - start)"
            return float(subprocess.check_output([sys.executable, "-c", program], text=True, env=environment))

        costs = [(cost("conveyor"), cost(IMPORT_BUDGET)) for _ in range(6)][1:]
        ours, budget = (statistics.median(each) for each in zip(*costs, strict=True))
        assert ours < 0.9 * budget, costs
