"""The house rules: sizes, docstrings, the change log, and native mistakes that no compiler sees.

The names of places in the code (sync points, kill points) are checked against docs/memory-model.md, so that the
argument for each stays beside the code.
"""

from __future__ import annotations

import ast
import os
import pkgutil
import re
import runpy
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import ClassVar

import pytest

ROOT = Path(__file__).parents[2]
CORE = ROOT / "core"
NATIVE = ROOT / "src" / "conveyor" / "_native"
SEAM = CORE / "include" / "conveyor" / "base" / "atomic.hpp"
# What lies in shared memory, of every kind.
LAYOUTS = sorted((CORE / "include" / "conveyor").rglob("*layout.hpp"))
MEMORY_MODEL_FILE = ROOT / "docs" / "memory-model.md"
MEMORY_MODEL = MEMORY_MODEL_FILE.read_text() if MEMORY_MODEL_FILE.exists() else ""
LONGEST_FILE = 600
MOST_METHODS = 25  # public ones of a class
MANY_METHODS = {
    "Queue": "the protocol is the whole face of a queue, which the classes share out",
    "WorkNode": "it has had more, and may only shrink",
}
OWN_FILE = 10  # public methods that make a class the one subject of its file
SHORT_FILE = 40
# Why a file may have fewer lines than that; what is longer may stand here, too.
MAY_BE_SHORT = {
    "the face of a package, or its beginning": (
        "src/*/__init__.py",
        "src/*/__main__.py",
        "src/conveyor/_interpreter.py",
        "src/*/_pyinstaller/*",
    ),
    "stands for a module of the standard library": ("src/conveyor/multiprocessing/*",),
    "a noun that several share, and that none of them owns": (
        "core/include/conveyor/base/*",
        "core/include/conveyor/queue/statistics.hpp",
        "core/src/base/life_lock.hpp",
        "src/conveyor/_command_line.py",
        "src/conveyor/_control_groups/memory_limit.py",
        "src/conveyor/_lazy.py",
        "src/conveyor/_memory/*",
        "src/conveyor/_native/codec/object_text.hpp",
        "src/conveyor/_native/support/*",
        "src/conveyor/bench/optional.py",
        "src/conveyor/bench/settings.py",
        "src/conveyor/cli/exit_codes.py",
        "src/conveyor/cli/jobs.py",
        "src/conveyor/executors/bound_executor.py",
        "src/conveyor/executors/task.py",
        "src/conveyor/executors/task_limits.py",
        "src/conveyor/inspection/finding.py",
        "src/conveyor/inspection/size.py",
        "src/conveyor/pipeline/base/*",
        "src/conveyor/pipeline/files/beginning.py",
        "src/conveyor/pipeline/files/optional.py",
        "src/conveyor/pipeline/files/output.py",
        "src/conveyor/pipeline/flow/lineage.py",
        "src/conveyor/pipeline/graph/bounds.py",
        "src/conveyor/pipeline/graph/run_keywords.py",
        "src/conveyor/pipeline/sources/fingerprint.py",
        "src/conveyor/pipeline/persistent/copying_starter.py",
        "src/conveyor/pipeline/supervise/settlement.py",
        "src/conveyor/pipeline/supervise/stint.py",
        "src/conveyor/pipeline/testing/*",
        "src/conveyor/pipeline/worker/own_memory.py",
        "src/conveyor/pipeline/worker/sealed.py",
        "src/conveyor/pipeline/worker/worker_queue.py",
        "src/conveyor/pipeline/worker/stranded.py",
        "src/conveyor/queues/dead_letter.py",
        "src/conveyor/shared/_wait.py",
        "src/conveyor/transports/rabbitmq/group_names.py",
        "src/conveyor/transports/redis/script.py",
        "src/conveyor/transports/tls.py",
    ),
    "a layout of shared memory": ("core/include/conveyor/*layout.hpp",),
    "what a header says of code that stands elsewhere": (
        "core/include/conveyor/process/group_keeper.hpp",
        "core/include/conveyor/process/normal_end.hpp",
        "core/include/conveyor/memory/label.hpp",
        "core/include/conveyor/queue/header_peek.hpp",
        "core/include/conveyor/store/store_peek.hpp",
        "core/include/conveyor/topic/key_pattern.hpp",
        "core/include/conveyor/topic/topic_peek.hpp",
        "core/src/queue/segment_checks.hpp",
        "core/src/store/store_peek.cpp",
        "core/src/sync/mutex.cpp",
        "src/conveyor/_native/codec/object_moments.hpp",
        "src/conveyor/_native/payload/*.hpp",
        "src/conveyor/_native/queue/lease_object.hpp",
        "src/conveyor/_native/shared/key_codec.hpp",
    ),
    "a class of a few lines that users know by name": (
        "src/conveyor/shared/event.py",
        "src/conveyor/testing.py",
    ),
    "one of several of a kind, each in its own file": (
        "src/conveyor/pipeline/host/running_loop.py",
        "src/conveyor/pipeline/operators/*",
        "src/conveyor/pipeline/progress/*",
        "src/conveyor/pipeline/sinks/*",
        "src/conveyor/transports/*/topic_group.py",
    ),
    "one verb of the command": ("src/conveyor/cli/*.py",),
    "one answer to one oddity of a system or a client": (
        "src/conveyor/bench/busy.py",
        "src/conveyor/pipeline/engine/passable.py",
        "src/conveyor/pipeline/start/hidden_module.py",
        "src/conveyor/pipeline/supervise/stillborn.py",
        "src/conveyor/transports/kafka/forks.py",
        "src/conveyor/transports/nats/leaving.py",
        "src/conveyor/transports/rabbitmq/quiet.py",
    ),
    "what puts others together": (
        "src/conveyor/inspection/examination.py",
        "src/conveyor/pipeline/report/report.py",
        "src/conveyor/pipeline/start/make_starter.py",
        "src/conveyor/transports/kafka/topic.py",
    ),
}
TEXT_SUFFIXES = {
    "",
    ".cpp",
    ".hpp",
    ".py",
    ".pyi",
    ".toml",
    ".md",
    ".txt",
    ".cmake",
    ".json",
    ".yml",
    ".cfg",
    ".in",
}


def listed_files() -> list[Path]:
    """The project's files: those that git has or would take, or all of them outside a clone."""
    try:
        names = subprocess.check_output(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
            cwd=ROOT,
            text=True,
            stderr=subprocess.DEVNULL,
        ).split("\0")
    except (OSError, subprocess.CalledProcessError):
        skipped = ("build", "dist", "__pycache__", ".")
        return [
            path
            for path in ROOT.rglob("*")
            if path.is_file()
            and not any(part.startswith(skipped) for part in path.relative_to(ROOT).parts[:-1])
        ]
    return [path for name in names if name and (path := ROOT / name).is_file()]


FILES = listed_files()
SOURCES = [
    path
    for path in FILES
    if path.suffix in {".py", ".cpp", ".hpp"} and path.relative_to(ROOT).parts[0] in {"src", "core", "tests"}
]
CORE_FILES = [path for path in SOURCES if CORE in path.parents and CORE / "tests" not in path.parents]
NATIVE_FILES = [path for path in SOURCES if NATIVE in path.parents]


def short(path: Path) -> str:
    return str(path.relative_to(ROOT))


def code_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a C++ file without its comments and strings."""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        yield number, re.sub(r'"(\\.|[^"\\])*"', '""', line).split("//")[0]


def occurrences(pattern: str, paths: list[Path], *, code_only: bool = True) -> list[str]:
    """`file:line` of each match."""
    return [
        f"{short(path)}:{number}"
        for path in paths
        for number, line in (code_lines(path) if code_only else enumerate(path.read_text().splitlines(), 1))
        if re.search(pattern, line)
    ]


# Calls of CPython's that may run Python code, or take the GIL back.
RUNS_PYTHON = re.compile(
    r"\bPy(Object_(Call(?!FinalizerFromDealloc)\w*|Vectorcall\w*|Str|Repr|IsTrue|GetAttr\w*|GetIter|GetBuffer|"
    r"RichCompare\w*|Hash)|Iter_Next|Import_Import\w*|Number_\w+|Float_AsDouble|Sequence_(Fast|List|Tuple)|"
    r"Err_(CheckSignals|WarnFormat|WriteUnraisable|NormalizeException)|Buffer_Release|Eval_\w+|GILState_\w+)\(|"
    r"\bgil_scoped_\w+"
)


def bracketed(text: str, name: str) -> Iterator[tuple[int, int]]:
    """Where the arguments of each call of `name` begin and end."""
    for match in re.finditer(rf"\b{name}\(", text):
        depth, at = 1, match.end()
        while depth and at < len(text):
            depth += {"(": 1, ")": -1}.get(text[at], 0)
            at += 1
        yield match.end(), at


def structs_in(header: Path) -> dict[str, str]:
    """The structs of a header that have members, and what stands in them."""
    found = re.finditer(
        r"^struct (?:alignas\([^)]*\) )?(?P<name>\w+) \{\n(?P<body>.*?)^\};",
        header.read_text(),
        re.MULTILINE | re.DOTALL,
    )
    return {
        struct["name"]: struct["body"]
        for struct in found
        if re.search(r"^  (?!static\b)[^()\n]+;", struct["body"], re.MULTILINE)
    }


class TestFiles:
    def test_a_file_is_short_enough_to_be_read(self) -> None:
        lengths = {short(path): len(path.read_text().splitlines()) for path in SOURCES}
        assert {path: lines for path, lines in lengths.items() if lines > LONGEST_FILE} == {}

    def test_a_short_file_has_a_reason(self) -> None:
        """An idea that takes twenty lines mostly belongs to a neighbour."""
        allowed = [pattern for patterns in MAY_BE_SHORT.values() for pattern in patterns]
        crumbs = [
            short(path)
            for path in SOURCES
            if (ROOT / "tests") not in path.parents
            and CORE / "tests" not in path.parents
            and len(path.read_text().splitlines()) < SHORT_FILE
        ]
        assert [path for path in crumbs if not any(fnmatch(path, pattern) for pattern in allowed)] == []
        there = [short(path) for path in SOURCES]
        assert [pattern for pattern in allowed if not any(fnmatch(path, pattern) for path in there)] == []

    def test_a_class_can_be_grasped_and_a_large_one_has_its_own_file(self) -> None:
        too_many, together = [], []
        for path in SOURCES:
            if path.suffix != ".py" or (ROOT / "src") not in path.parents:
                continue
            large = []
            for found in ast.walk(ast.parse(path.read_text())):
                if not isinstance(found, ast.ClassDef):
                    continue
                public = {
                    each.name: "abstractmethod" in map(ast.unparse, each.decorator_list)
                    for each in found.body
                    if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
                    and not each.name.startswith("_")
                }
                if len(public) > MOST_METHODS and found.name not in MANY_METHODS:
                    too_many.append(f"{short(path)}: {found.name} has {len(public)} public methods")
                is_protocol = any("Protocol" in ast.unparse(base) for base in found.bases)
                if not is_protocol and list(public.values()).count(False) >= OWN_FILE:
                    large.append(found.name)
            if len(large) > 1:
                together.append(f"{short(path)}: {', '.join(large)}")
        assert too_many == []
        assert together == []

    @pytest.mark.parametrize(
        "path", [p for p in SOURCES if (ROOT / "src") in p.parents and p.suffix == ".py"], ids=short
    )
    def test_says_what_it_is_for(self, path: Path) -> None:
        assert ast.get_docstring(ast.parse(path.read_text())), "a module begins with a docstring"

    def test_no_path_of_one_machine(self) -> None:
        # Put together here, or this file would be the first to be found.
        here = re.compile("|".join(re.escape(f"/{name}/") for name in ("work", "root", "tmp/w")))
        found = [
            f"{short(path)}:{number}"
            for path in FILES
            if path.suffix in TEXT_SUFFIXES
            for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
            if here.search(line)
        ]
        assert not found

    def test_all_tests_can_run_at_once(self) -> None:
        # pytest imports them by their bare names.
        found = [
            path for path in (ROOT / "tests").glob("*/*.py") if not (path.parent / "__init__.py").exists()
        ]
        names = Counter(path.stem for path in found if path.stem != "conftest")
        assert [name for name, times in names.items() if times > 1] == []

    def test_the_change_log_knows_this_version(self) -> None:
        version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
        headings = re.findall(r"^## \[([^\]]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
        assert headings, "no version heading in CHANGELOG.md"
        assert "Unreleased" in headings or version in headings


README_EXAMPLES = re.findall(
    r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE
)


@pytest.mark.parametrize("number", range(len(README_EXAMPLES)))
def test_the_examples_of_the_readme_run(number: int, tmp_path: Path) -> None:
    # A queue of that name may be somebody's.
    text = README_EXAMPLES[number].replace("shm://jobs", f"shm://readme-{os.getpid()}")
    example = tmp_path / "example.py"
    example.write_text(text)
    done = subprocess.run([sys.executable, example], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr


class TestNative:
    """Mistakes that compile well and are wrong all the same."""

    def test_atomics_only_through_the_seam(self) -> None:
        others = [path for path in CORE_FILES + NATIVE_FILES if path != SEAM]
        assert not occurrences(
            r"std::(atomic|memory_order)|\b__(atomic|sync)_\w+|\bvolatile\b|#\s*include <atomic>", others
        )

    def test_one_file_makes_the_futex_system_call(self) -> None:
        found = {
            place.split(":")[0]
            for place in occurrences(r"SYS_futex|linux/futex\.h|\bFUTEX_\w+", CORE_FILES + NATIVE_FILES)
        }
        assert len(found) == 1, found

    def test_no_lock_of_one_process_only(self) -> None:
        assert not occurrences(
            r"std::condition_variable|std::j?thread\b|pthread_(mutex|cond)_|\bsem_\w+\(", CORE_FILES
        )
        # A plain mutex may guard what only this process has, in a file that thinks of fork.
        for path in CORE_FILES:
            if occurrences(r"std::(recursive_|shared_|timed_)?mutex", [path]):
                assert occurrences(r"\bpthread_atfork\(", [path]), (
                    f"{short(path)}: a child inherits the mutex locked"
                )

    def test_the_core_neither_prints_nor_ends_the_process(self) -> None:
        assert not occurrences(
            r"std::(cout|cerr|clog)|\bf?printf\(|\bputs\(|\b(abort|exit|_exit|terminate)\(|(?<!static_)\bassert\(",
            CORE_FILES,
        )

    def test_python_code_is_run_where_a_thread_may_be_ended(self) -> None:
        """What may run Python code gives up the GIL, and may not get it back: gil.hpp says why `foreign`."""
        found = []
        for path in NATIVE_FILES:
            text = "\n".join(line for _, line in code_lines(path))
            guarded = [*bracketed(text, "foreign"), *bracketed(text, "or_stay")]
            found += re.findall(r"PyErr_Format\([^;]*%[RSA]", path.read_text())  # a repr
            found += [
                f"{short(path)}:{text.count(chr(10), 0, call.start()) + 1}: {call[0]}"
                for call in RUNS_PYTHON.finditer(text)
                if not any(start < call.start() < end for start, end in guarded)
                and not (path.name == "gil.hpp" and call[0] == "PyEval_SaveThread(")
            ]
        assert not found, "call it by what gil.hpp has for it, or within foreign"

    def test_what_native_code_names_in_the_package_is_there(self) -> None:
        names = {
            name
            for path in NATIVE_FILES
            for name in re.findall(r'"(conveyor\.(?!_native\b)[\w.]*\w)"', path.read_text())
        }
        assert "conveyor.errors" in names
        for name in names:
            pkgutil.resolve_name(name)

    def test_headers_are_read_once(self) -> None:
        headers = [path for path in CORE_FILES + NATIVE_FILES if path.suffix == ".hpp"]
        assert not [short(path) for path in headers if "#pragma once" not in path.read_text()]

    @pytest.mark.parametrize("layout", LAYOUTS, ids=lambda path: path.name)
    def test_nothing_shared_holds_an_address(self, layout: Path) -> None:
        """A pointer means nothing in another process."""
        assert not occurrences(
            r"^\s+[\w:<>]+\s*[*&]\s*\w+(\[\w*\])?\s*(=.*)?;|std::(string|vector|unique_ptr|shared_ptr|function|map)",
            [layout],
        )

    @pytest.mark.parametrize("layout", LAYOUTS, ids=lambda path: path.name)
    def test_the_size_of_all_that_is_shared_is_asserted(self, layout: Path) -> None:
        structs = structs_in(layout)
        assert structs
        missing = [name for name in structs if f"static_assert(sizeof({name})" not in layout.read_text()]
        assert not missing, "two processes must agree on their size: static_assert(sizeof(...) == ...)"

    def test_what_is_shared_stands_in_a_layout(self) -> None:
        """Else the two rules above do not see it. A class may have atomic members for the threads of its process."""
        others = [path for path in CORE_FILES if path.suffix == ".hpp" and path not in LAYOUTS]
        found = [
            f"{short(path)}: {name}"
            for path in others
            for name, body in structs_in(path).items()
            if re.search(r"\bAtomic<|\bLock \w+;|\bEventCount \w+;", body)
        ]
        assert found == [], "its header is to be named *layout.hpp"

    def test_words_of_a_worker_have_the_same_numbers_in_python(self) -> None:
        layout = (CORE / "include" / "conveyor" / "worker" / "meter_layout.hpp").read_text()
        words = re.findall(r"Atomic<std::uint64_t> (\w+?)(?:\[(\w+)\])?;", layout)
        pages = [path for path in SOURCES if re.search(r"^_SINCE, .* = range\(\d+\)", path.read_text(), re.M)]
        assert len(pages) == 1
        names, number = re.findall(r"^(_SINCE, .*) = range\((\d+)\)", pages[0].read_text(), re.MULTILINE)[0]
        assert len(names.split(", ")) == int(number)
        for at, (name, (word, _)) in enumerate(zip(names.split(", "), words, strict=False)):
            assert word.split("_")[0] == name.strip("_").lower().split("_")[0], f"word {at}"
        reserved = dict(words)["reserved"]
        assert f"_HISTOGRAM = {int(number) + int(reserved)}\n" in pages[0].read_text()


class TestTheLeakCheck:
    """tests/conftest.py finds what a test leaves behind, and nothing that it does not."""

    CASES: ClassVar = {
        "descriptor": ("import os; os.dup(0)", "descriptor"),
        "process": ("import subprocess; subprocess.Popen(['sleep', '60'])", "child process"),
        "file": ("open('/dev/shm/conveyor.test-leak', 'w').close()", "file /dev/shm/conveyor.test-leak"),
        "nothing": ("import multiprocessing as m; m.set_start_method('forkserver'); m.Queue()", None),
        "excused": ("import os, pytest; os.dup(0)", None),
    }

    @pytest.mark.parametrize("case", CASES)
    def test_finds(self, case: str, tmp_path: Path) -> None:
        body, found = self.CASES[case]
        conftest = (ROOT / "tests" / "conftest.py").read_text()
        (tmp_path / "conftest.py").write_text(conftest.replace("GRACE_SECONDS = 3.0", "GRACE_SECONDS = 0.2"))
        mark = "@pytest.mark.leaves('a test')\n" if case == "excused" else ""
        (tmp_path / "test_it.py").write_text(f"import pytest\n{mark}def test_it():\n    {body}\n")
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, str(tmp_path)],
            capture_output=True,
            text=True,
            check=False,
        )
        Path("/dev/shm/conveyor.test-leak").unlink(missing_ok=True)
        assert (done.returncode == 0) == (found is None), done.stdout
        assert found is None or f"left behind:\n  {found}" in done.stdout, done.stdout


def names_in_native_code(pattern: str) -> Counter[str]:
    """How often each name that the pattern's group finds stands in the core and the binding."""
    return Counter(
        name for path in CORE_FILES + NATIVE_FILES for name in re.findall(pattern, path.read_text())
    )


class TestNamedPlaces:
    """Sync points and kill points have names; the names are argued for in docs/memory-model.md."""

    SYNC_POINTS: ClassVar = names_in_native_code(r'sync point "([^"]+)"')
    KILL_POINTS: ClassVar = names_in_native_code(r'CONVEYOR_KILL_POINT\("([^"]+)"\)')

    @pytest.mark.parametrize("name", sorted(SYNC_POINTS))
    def test_a_sync_point_is_told_on_both_sides(self, name: str) -> None:
        assert self.SYNC_POINTS[name] >= 2, "named once: where is the other side of the pair?"
        assert name in MEMORY_MODEL, f"docs/memory-model.md does not say why {name!r} is right"

    @pytest.mark.parametrize("name", sorted(KILL_POINTS))
    def test_a_kill_point_is_unique_and_argued(self, name: str) -> None:
        # That a process is really killed at each is core/tests/test_kill_points.cpp's business: it takes
        # the list from the sources, and fails on one that no plan of it reaches.
        assert self.KILL_POINTS[name] == 1, "one name, one place"
        assert name in MEMORY_MODEL, f"docs/memory-model.md does not say what a death at {name!r} leaves"

    def test_there_are_some(self) -> None:
        assert self.SYNC_POINTS
        assert self.KILL_POINTS

    def test_a_mutation_of_the_core_finds_its_place(self) -> None:
        """They name it by its text, and are tried by `make model-mutations` alone, all but a few."""
        mutations = runpy.run_path(str(CORE / "tests" / "model" / "mutations.py"))["MUTATIONS"]
        assert len(mutations) > 20
        found = {each.name: (ROOT / each.file).read_text().count(each.old) for each in mutations}
        assert {name: times for name, times in found.items() if times != 1} == {}
