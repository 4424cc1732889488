"""Tell several processes of every change in a directory tree, as it happens.

    python examples/watch_tree.py FOLDER           until Ctrl-C
    python examples/watch_tree.py                  on a temporary tree that changes by itself, and then ends

One process watches the tree with Linux's inotify and publishes each change to a topic, with the kind of change and
the file's suffix as its key. Three others subscribe: one keeps an index of the files and their sizes (all changes), one
writes a log of what was removed or moved away ("removed.#"), one counts changes by suffix and may miss some when it is
slow (when_slow="drop_oldest").
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import shutil
import signal
import struct
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conveyor import Queue, Topic

# From <sys/inotify.h>.
IN_MODIFY, IN_MOVED_FROM, IN_MOVED_TO, IN_CREATE, IN_DELETE = 0x2, 0x40, 0x80, 0x100, 0x200
IN_CLOSE_WRITE, IN_Q_OVERFLOW, IN_IGNORED, IN_ISDIR, IN_ONLYDIR = 0x8, 0x4000, 0x8000, 0x40000000, 0x01000000
WATCHED = IN_CLOSE_WRITE | IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_ONLYDIR
HEADER = struct.Struct("iIII")
END_MARK = ".watch-ends"


@dataclass(frozen=True)
class Change:
    """A change of one file or folder."""

    kind: str
    """"written" (or moved here), "removed" (or moved away), "folder"; "lost": the kernel could not keep up."""
    path: str

    @property
    def key(self) -> str:
        """As in "written.txt"; without a suffix, "written"."""
        suffix = Path(self.path).suffix.lstrip(".")
        clean = "".join(letter for letter in suffix if letter.isalnum())[:30]
        return f"{self.kind}.{clean}" if clean else self.kind


class Tree:
    """A directory tree under watch, folders that are made later included."""

    def __init__(self, root: Path) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._libc.inotify_init1(os.O_CLOEXEC)
        if self._fd < 0:
            self._fail("inotify_init1", root)
        self._folders: dict[int, Path] = {}
        self.root = root
        # What is there already is the start of the index.
        self.present = list(self._add(root))

    def _fail(self, what: str, path: Path) -> None:
        number = ctypes.get_errno()
        hint = " (see /proc/sys/fs/inotify/max_user_watches)" if number == 28 else ""
        raise OSError(number, f"{what}: {os.strerror(number)}{hint}", str(path))

    def _add(self, folder: Path) -> Iterator[Change]:
        watch = self._libc.inotify_add_watch(self._fd, os.fsencode(folder), WATCHED)
        if watch < 0:
            if ctypes.get_errno() in (2, 20):  # gone again, or no folder any more
                return
            self._fail("inotify_add_watch", folder)
        self._folders[watch] = folder
        # After the watch: what comes in between is told twice, and nothing is missed.
        for entry in sorted(folder.iterdir()):
            if entry.is_dir() and not entry.is_symlink():
                yield Change("folder", str(entry))
                yield from self._add(entry)
            else:
                yield Change("written", str(entry))

    def changes(self) -> Iterator[Change]:
        """The changes, as they come; for ever."""
        while True:
            data, at = os.read(self._fd, 64 * 1024), 0
            while at < len(data):
                watch, mask, _, size = HEADER.unpack_from(data, at)
                name = data[at + HEADER.size : at + HEADER.size + size].rstrip(b"\0")
                at += HEADER.size + size
                if mask & IN_Q_OVERFLOW:
                    yield Change("lost", str(self.root))
                elif mask & IN_IGNORED:
                    self._folders.pop(watch, None)
                elif watch in self._folders:
                    yield from self._told(self._folders[watch] / os.fsdecode(name), mask)

    def _told(self, path: Path, mask: int) -> Iterator[Change]:
        if mask & (IN_DELETE | IN_MOVED_FROM):
            yield Change("removed", str(path))
        elif mask & IN_ISDIR:
            yield Change("folder", str(path))
            yield from self._add(path)
        elif mask & (IN_CLOSE_WRITE | IN_MOVED_TO):
            yield Change("written", str(path))


def watch(root: Path, topic: Topic[Change], ready: Queue[str], until_told: bool) -> None:
    """Publish what happens under `root`."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it; the others end with the topic
    tree = Tree(root)
    topic.publish_many(tree.present)
    ready.put("watching")
    for change in tree.changes():
        if until_told and change.path.endswith(END_MARK):
            topic.shutdown()
            return
        topic.publish(change, key=change.key)


def index(topic: Topic[Change], ready: Queue[str], results: Queue[Any]) -> None:
    """Know every file and its size."""
    sizes: dict[str, int] = {}
    with topic.subscribe(from_="oldest") as changes:
        ready.put("index")
        for change in changes:
            if change.kind == "removed":
                for path in [each for each in sizes if f"{each}/".startswith(f"{change.path}/")]:
                    del sizes[path]
            elif change.kind == "written":
                try:
                    sizes[change.path] = os.stat(change.path).st_size  # noqa: PTH116
                except FileNotFoundError:
                    sizes.pop(change.path, None)
    results.put(("index", sizes))


def log(topic: Topic[Change], ready: Queue[str], results: Queue[Any]) -> None:
    """Write down what was removed."""
    lines = []
    with topic.subscribe("removed.#") as removals:
        ready.put("log")
        for change in removals:
            lines.append(f"removed {change.path}")
            print(lines[-1], flush=True)
    results.put(("log", lines))


def count(topic: Topic[Change], ready: Queue[str], results: Queue[Any]) -> None:
    """Count changes by key."""
    counts: Counter[str] = Counter()
    with topic.subscribe("#", when_slow="drop_oldest") as changes:
        ready.put("count")
        for change in changes:
            counts[change.key] += 1
        counts["missed"] = changes.missed
    results.put(("count", dict(counts)))


def change_things(root: Path) -> None:
    """The demonstration: files come, change, move and go."""
    for number in range(20):
        (root / f"note-{number}.txt").write_text("text " * number)
    (root / "deep" / "deeper").mkdir(parents=True)
    for number in range(10):
        (root / "deep" / "deeper" / f"data-{number}.bin").write_bytes(bytes(1000 * number))
    for number in range(5):
        (root / f"note-{number}.txt").unlink()
    (root / "note-5.txt").rename(root / "renamed.md")
    shutil.move(root / "deep" / "deeper" / "data-0.bin", root / "data-0.bin")


def main() -> None:
    """Watch the folder that is named, or a temporary one."""
    demo = len(sys.argv) < 2
    root = Path(tempfile.mkdtemp(prefix="watch-tree-")) if demo else Path(sys.argv[1])
    if not root.is_dir():
        sys.exit(f"{root} is no folder")
    topic: Topic[Change] = Topic()
    ready: Queue[str] = Queue()
    results: Queue[Any] = Queue()
    readers = [
        multiprocessing.Process(target=work, args=(topic, ready, results)) for work in (index, log, count)
    ]
    watcher = multiprocessing.Process(target=watch, args=(root, topic, ready, demo))
    on_interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)  # in the readers: they end with the topic
    for process in (*readers, watcher):
        process.start()
    signal.signal(signal.SIGINT, on_interrupt)
    try:
        for _ in range(4):
            ready.get(timeout=60)
        if demo:
            change_things(root)
            (root / END_MARK).touch()
        watcher.join()
    except KeyboardInterrupt:
        pass
    finally:
        topic.shutdown()
        found = dict(results.get(timeout=60) for _ in readers)
        for process in (*readers, watcher):
            process.join()
        if demo:
            shutil.rmtree(root)
    sizes = found["index"]
    print(f"{len(sizes)} files of {sum(sizes.values()):,} bytes; {len(found['log'])} removals")
    print(", ".join(f"{key}: {number}" for key, number in sorted(found["count"].items())))


if __name__ == "__main__":
    main()
