"""Is the model checker able to fail? Breaks the core in one place at a time and expects the checker to notice.

    python core/tests/model/mutations.py [NAME ...]      or: make model-mutations

Each mutation removes or weakens one thing that docs/memory-model.md says is needed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[3]
MODEL = Path("core/tests/model")
REPLACED = {"owner.cpp", "waiting_linux.cpp"}  # by world.cpp


class Mutation(NamedTuple):
    name: str
    file: str
    old: str
    new: str
    case: str


WAIT, LOCK = "core/include/conveyor/base/wait.hpp", "core/include/conveyor/base/lock.hpp"
STREAM, TAKE = "core/src/queue/stream.cpp", "core/include/conveyor/queue/stream.hpp"
PUBLISH, SUBSCRIBER = "core/src/topic/topic_log_publish.cpp", "core/src/topic/subscriber.cpp"
TAKEN = "word_.compare_exchange_strong(seen, me"
MUTATIONS = [
    Mutation(
        "notify-without-fence",
        WAIT,
        "    full_fence();\n    notify_fenced(count);",
        "    notify_fenced(count);",
        "the event count",
    ),
    Mutation(
        "wake-without-epoch",
        "core/src/base/wait.cpp",
        "  epoch_.fetch_add(1, release);\n",
        "",
        "the event count",
    ),
    Mutation(
        "sleep-without-epoch",
        "core/src/base/wait.cpp",
        "futex_wait(&epoch_, epoch, slice)",
        "futex_wait(&epoch_, epoch_.load(relaxed), slice)",
        "the event count",
    ),
    Mutation(
        "served-too-much",
        "core/src/base/wait.cpp",
        "  if (woken >= count) return;  // there may be more\n",
        "",
        "the event count",
    ),
    Mutation("unlock-relaxed", LOCK, "word_.exchange(0, release)", "word_.exchange(0, relaxed)", "the lock"),
    Mutation(
        "lock-relaxed",
        "core/src/base/lock.cpp",
        f"if ({TAKEN}, conveyor::acquire, relaxed)) return Locked::clean;",
        f"if ({TAKEN}, relaxed, relaxed)) return Locked::clean;",
        "the lock",
    ),
    Mutation(
        "lock-forgets-sleepers",
        "core/src/base/lock.cpp",
        f"if ({TAKEN} | contended, conveyor::acquire, relaxed)) return Locked::clean;",
        f"if ({TAKEN}, conveyor::acquire, relaxed)) return Locked::clean;",
        "the lock",
    ),
    Mutation("unlock-wakes-nobody", LOCK, "if ((word & contended) != 0) wake_next();", "", "the lock"),
    Mutation(
        "taken-from-the-living",
        "core/src/base/lock.cpp",
        "    return is_alive(seen & ~contended) ? Locked::busy : inherit(seen, me, after_exit);",
        "    return inherit(seen, me, after_exit);",
        "the lock",
    ),
    Mutation(
        "put-commits-relaxed",
        STREAM,
        "header_.tail.word.store(after << 1 | ((word & 1) ^ 1), conveyor::release);",
        "header_.tail.word.store(after << 1 | ((word & 1) ^ 1), relaxed);",
        "the stream",
    ),
    Mutation(
        "take-looks-relaxed",
        TAKE,
        "side.other_count = count_of(header_.tail.word.load(acquire));",
        "side.other_count = count_of(header_.tail.word.load(relaxed));",
        "the stream",
    ),
    Mutation(
        "put-commits-too-early",
        STREAM,
        "    side.state[(word & 1) ^ 1] = state;\n",
        "    header_.tail.word.store(after << 1 | ((word & 1) ^ 1), conveyor::release);\n"
        "    side.state[(word & 1) ^ 1] = state;\n",
        "the stream",
    ),
    Mutation(
        "take-commits-too-early",
        TAKE,
        "    side.state[(word & 1) ^ 1] = state;\n",
        "    header_.head.word.store((taken + done) << 1 | ((word & 1) ^ 1), conveyor::release);\n"
        "    side.state[(word & 1) ^ 1] = state;\n",
        "the stream",
    ),
    Mutation(
        "one-copy-of-the-state",
        STREAM,
        "    side.state[(word & 1) ^ 1] = state;\n",
        "    side.state[0] = side.state[1] = state;\n",
        "the stream",
    ),
    Mutation(
        "pool-without-lock",
        "core/src/queue/pool.cpp",
        "int Pool::try_lock() {",
        "int Pool::try_lock() {\n  return 0;",
        "the pool*",
    ),
    Mutation(
        "topic-commits-relaxed",
        PUBLISH,
        "header_.tail.store(draft.position | (draft.copy ^ 1), release);",
        "header_.tail.store(draft.position | (draft.copy ^ 1), relaxed);",
        "the topic*",
    ),
    Mutation(
        "topic-commits-too-early",
        PUBLISH,
        "  write(draft, event, span);\n    ++done;\n",
        "  header_.tail.store((draft.position + span) | (draft.copy ^ 1), release);\n"
        "    write(draft, event, span);\n    ++done;\n",
        "the topic*",
    ),
    Mutation(
        "topic-overwrites-without-fence",
        PUBLISH,
        "    full_fence();  // sync point",
        "    // sync point",
        "the topic*",
    ),
    Mutation(
        "topic-reads-without-fence",
        SUBSCRIBER,
        '  full_fence();\n  CONVEYOR_KILL_POINT("topic.window-open");',
        '  CONVEYOR_KILL_POINT("topic.window-open");',
        "the topic*",
    ),
    Mutation(
        "topic-cursor-relaxed",
        SUBSCRIBER,
        "slot().cursor.store(position, release);",
        "slot().cursor.store(position, relaxed);",
        "the topic*",
    ),
    Mutation(
        "topic-blind-to-pins",
        PUBLISH,
        "if (pin.owner.load(acquire) != nobody) consider",
        "if (pin.owner.load(acquire) == 1) consider",
        "the topic*",
    ),
    Mutation(
        "topic-wakes-one-only",
        "core/src/topic/topic_log.cpp",
        "  if (ready()) pass_on();\n",
        "",
        "the topic*",
    ),
]


def folders_of(root: Path, out: Path) -> list[Path]:
    """For each folder of the core a file that takes in all of its files: they are compiled as one, as in CMake."""
    made: list[Path] = []
    for folder in sorted((root / "core/src").iterdir()):
        together = out / f"{folder.name}.cpp"
        names = [path for path in sorted(folder.glob("*.cpp")) if path.name not in REPLACED]
        together.write_text("".join(f'#include "{path}"\n' for path in names), encoding="utf-8")
        made.append(together)
    return made


def build(root: Path, out: Path) -> Path:
    """The checker on the core under `root`; only what is not there yet is compiled."""
    flags = [
        "-std=c++20",
        "-O1",
        f"-I{ROOT / MODEL / 'include'}",
        f"-I{ROOT / MODEL}",
        f"-I{root / 'core/include'}",
    ]
    compiler = os.environ.get("CXX", "g++")
    programs = [ROOT / MODEL / "test_model.cpp", ROOT / MODEL / "test_model_topic.cpp"]
    sources = [*folders_of(root, out), *programs]
    jobs = [
        [compiler, *flags, "-fsanitize=thread", "-c", str(source), "-o", str(out / f"{source.stem}.o")]
        for source in sources
    ]
    for source in (ROOT / MODEL / "world.cpp", ROOT / MODEL / "seam.cpp", ROOT / "core/tests/main.cpp"):
        jobs.append([compiler, *flags, "-c", str(source), "-o", str(out / f"{source.stem}.o")])
    running: list[subprocess.Popen[bytes]] = []
    for job in jobs:
        if Path(job[-1]).exists():
            continue
        if len(running) >= (os.cpu_count() or 1):
            assert running.pop(0).wait() == 0, "it does not compile"
        running.append(subprocess.Popen(job))
    assert all(each.wait() == 0 for each in running), "it does not compile"
    program = out / "model"
    objects = [job[-1] for job in jobs]
    subprocess.run([compiler, *objects, "-Wl,--wrap=memcpy", "-o", str(program)], check=True)
    return program


def verdict(mutation: Mutation, folder: Path, sound: Path) -> str:
    """What the checker says of a copy of the core that is broken in one place."""
    root, out = folder / mutation.name, folder / f"{mutation.name}.out"
    shutil.copytree(ROOT / "core", root / "core", ignore=shutil.ignore_patterns("tests"))
    out.mkdir()
    broken = root / mutation.file
    text = broken.read_text(encoding="utf-8")
    assert text.count(mutation.old) == 1, (
        f"{mutation.name}: its place occurs {text.count(mutation.old)} times"
    )
    broken.write_text(text.replace(mutation.old, mutation.new), encoding="utf-8")
    if broken.suffix == ".cpp":  # then the rest is as it was
        for each in sound.parent.glob("*.o"):
            if each.stem != broken.parent.name:
                shutil.copy2(each, out / each.name)
    else:
        for name in ("world.o", "seam.o", "main.o"):
            shutil.copy2(sound.parent / name, out / name)
    program = build(root, out)
    try:
        done = subprocess.run(
            [program, f"-tc={mutation.case}"], capture_output=True, text=True, timeout=300, check=False
        )
    except subprocess.TimeoutExpired:
        return "it ran for five minutes"
    if done.returncode == 0:
        return ""
    found = [
        line.split("CHECK(")[1].strip(" )=") for line in done.stdout.splitlines() if "values: CHECK(" in line
    ]
    return found[0] if found else f"it crashed ({done.returncode})"


def main() -> int:
    wanted = sys.argv[1:]
    unknown = set(wanted) - {mutation.name for mutation in MUTATIONS}
    if unknown:
        print(f"no such mutation: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    missed = 0
    with tempfile.TemporaryDirectory(prefix="conveyor-model-") as name:
        folder = Path(name)
        (folder / "sound").mkdir()
        sound = build(ROOT, folder / "sound")
        for mutation in MUTATIONS:
            if wanted and mutation.name not in wanted:
                continue
            start = time.monotonic()
            trouble = verdict(mutation, folder, sound)
            missed += not trouble
            print(
                f"{mutation.name:24} {time.monotonic() - start:4.0f} s  {trouble or 'NOT NOTICED'}",
                flush=True,
            )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
