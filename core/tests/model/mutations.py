"""Is the model checker able to fail? Breaks the core in one place at a time and expects the checker to notice.

    python core/tests/model/mutations.py [--x86] [NAME ...]      or: make model-mutations ARGS=--x86

Each mutation removes or weakens one thing that docs/memory-model.md says is needed; or one that could be weaker, and
says why it is not noticed. What is noticed must be so in weak memory; with `--x86` is said, too, whether it would be
on x86-64.
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
WORLD = ("world", "ordering", "seam")
REPLACED = {"owner.cpp", "waiting_linux.cpp"}  # by world.cpp


class Mutation(NamedTuple):
    name: str
    file: str
    old: str
    new: str
    case: str
    unneeded: str = ""  # why it breaks nothing, and so is not noticed


WAIT, LOCK = "core/include/conveyor/base/wait.hpp", "core/include/conveyor/base/lock.hpp"
STREAM, TAKE = "core/src/queue/stream.cpp", "core/include/conveyor/queue/stream.hpp"
PUBLISH, SUBSCRIBER = "core/src/topic/topic_log_publish.cpp", "core/src/topic/subscriber.cpp"
PATIENT = "    ours.patient_until.store(until, relaxed);\n"
TAKEN = "word_.compare_exchange_strong(seen, me"
MUTATIONS = [
    Mutation(
        "notify-without-fence",
        WAIT,
        "    full_fence();\n    notify_fenced(count, [] { return false; });",
        "    notify_fenced(count, [] { return false; });",
        "the event count",
    ),
    Mutation(
        "announce-without-fence",
        WAIT,
        "    full_fence();\n    return epoch;",
        "    return epoch;",
        "the event count",
    ),
    Mutation(
        "exchange-for-a-fence",
        WAIT,
        "    fence_after_exchange();\n",
        "",
        "the stream",
    ),
    Mutation(
        "spinner-without-fence",
        "core/src/base/wait.cpp",
        "  full_fence();  // before the spinner's last look",
        "  // before the spinner's last look",
        "the spinner",
    ),
    Mutation(
        "epoch-grows-relaxed",
        "core/src/base/wait.cpp",
        "epoch_.fetch_add(1, release);",
        "epoch_.fetch_add(1, relaxed);",
        "the event count",
        "who reads the new epoch has its fence after the notifier's, and so sees the change",
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
    Mutation(
        "patient-for-items-without-end",
        STREAM,
        PATIENT,
        f"{PATIENT}    if (!for_room) until = deadline;\n",
        "the stream",
    ),
    Mutation(
        "patient-for-room-without-end",
        STREAM,
        PATIENT,
        f"{PATIENT}    if (for_room) until = deadline;\n",
        "the stream",
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
        "sleeper-locks-relaxed",
        "core/src/base/lock.cpp",
        f"if ({TAKEN} | contended, conveyor::acquire, relaxed)) return Locked::clean;",
        f"if ({TAKEN} | contended, relaxed, relaxed)) return Locked::clean;",
        "the lock",
    ),
    Mutation(
        "lock-forgets-sleepers",
        "core/src/base/lock.cpp",
        f"if ({TAKEN} | contended, conveyor::acquire, relaxed)) return Locked::clean;",
        f"if ({TAKEN}, conveyor::acquire, relaxed)) return Locked::clean;",
        "the lock",
    ),
    Mutation(
        "take-over-relaxed",
        "core/src/base/lock.cpp",
        "word_.compare_exchange_strong(seen, next | contended, conveyor::acquire, relaxed)",
        "word_.compare_exchange_strong(seen, next | contended, relaxed, relaxed)",
        "the lock",
        "what a dead holder wrote is there before the kernel says that it is dead",
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
        "take-commits-relaxed",
        TAKE,
        "header_.head.word.store((taken + done) << 1 | ((word & 1) ^ 1), conveyor::release);",
        "header_.head.word.store((taken + done) << 1 | ((word & 1) ^ 1), relaxed);",
        "the stream",
        "the room that it leaves is room in pages, which the pool's lock hands on; what is read too old counts "
        "less room, and who waits looks behind a fence",
    ),
    Mutation(
        "end-commits-relaxed",
        "core/src/queue/stream_ending.cpp",
        "header_.ended.store(static_cast<std::uint32_t>(how), conveyor::release);",
        "header_.ended.store(static_cast<std::uint32_t>(how), relaxed);",
        "the stream",
    ),
    Mutation(
        "end-looks-relaxed",
        TAKE,
        "header_.ended.load(acquire) != static_cast<std::uint32_t>(End::none)",
        "header_.ended.load(relaxed) != static_cast<std::uint32_t>(End::none)",
        "the stream",
    ),
    Mutation(
        "depth-looks-relaxed",
        STREAM,
        "  const std::uint64_t head = count_of(header_.head.word.load(acquire));\n  const",
        "  const std::uint64_t head = count_of(header_.head.word.load(relaxed));\n  const",
        "the stream",
        "who waits looks behind a fence, where neither count is too old; to all others it is a hint",
    ),
    Mutation(
        "due-looks-relaxed",
        "core/src/queue/lease.cpp",
        "Nanoseconds seen = state_.next_due.load(seq_cst);",
        "Nanoseconds seen = state_.next_due.load(relaxed);",
        "the leases' time",
    ),
    Mutation(
        "due-set-release",
        "core/src/queue/lease.cpp",
        "due.store(due, seq_cst);",
        "due.store(due, release);",
        "the leases' time",
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
        "topic-looks-relaxed",
        "core/include/conveyor/topic/topic_log.hpp",
        "header_.tail.load(acquire)",
        "header_.tail.load(relaxed)",
        "the topic*",
    ),
    Mutation(
        "topic-ends-relaxed",
        "core/src/topic/topic_log_ending.cpp",
        "header_.ended.store(1, release)",
        "header_.ended.store(1, relaxed)",
        "the topic*",
    ),
    Mutation(
        "topic-pins-without-fence",
        "core/src/topic/topic_log_pins.cpp",
        "  full_fence();  // sync point",
        "  // sync point",
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
    own = [ROOT / MODEL / f"{name}.cpp" for name in WORLD]
    for source in (*own, ROOT / "core/tests/main.cpp"):
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


def broken(mutation: Mutation, folder: Path, sound: Path) -> Path:
    """The checker on a copy of the core that is broken in one place."""
    root, out = folder / mutation.name, folder / f"{mutation.name}.out"
    shutil.copytree(ROOT / "core", root / "core", ignore=shutil.ignore_patterns("tests"))
    out.mkdir()
    changed = root / mutation.file
    text = changed.read_text(encoding="utf-8")
    assert text.count(mutation.old) == 1, (
        f"{mutation.name}: its place occurs {text.count(mutation.old)} times"
    )
    changed.write_text(text.replace(mutation.old, mutation.new), encoding="utf-8")
    if changed.suffix == ".cpp":  # then the rest is as it was
        for each in sound.parent.glob("*.o"):
            if each.stem != changed.parent.name:
                shutil.copy2(each, out / each.name)
    else:
        for name in (*(f"{each}.o" for each in WORLD), "main.o"):
            shutil.copy2(sound.parent / name, out / name)
    return build(root, out)


def verdict(program: Path, case: str, memory: str) -> str:
    """What the checker says of it; nothing if it notices nothing."""
    try:
        done = subprocess.run(
            [program, f"-tc={case}"],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            env={**os.environ, "CONVEYOR_MODEL_MEMORY": memory},
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
    wanted = [word for word in sys.argv[1:] if word != "--x86"]
    compare = "--x86" in sys.argv
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
            program = broken(mutation, folder, sound)
            trouble = verdict(program, mutation.case, "weak")
            missed += bool(trouble) == bool(mutation.unneeded)
            if mutation.unneeded:
                trouble = trouble or f"unnoticed, as it should be: {mutation.unneeded}"
            line = f"{mutation.name:30} {time.monotonic() - start:4.0f} s  {trouble or 'NOT NOTICED'}"
            if compare:
                line += f" (x86-64: {verdict(program, mutation.case, 'x86') or 'unseen'})"
            print(line, flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
