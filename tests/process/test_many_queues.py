"""What a queue takes of a process before its first item, ten thousand at once, and what is said at the limit."""

from __future__ import annotations

import pytest
from helpers import python

# As many as the limit of descriptors allows, where only root may raise it.
TEN_THOUSAND = """
import os, pathlib, resource
import conveyor
count = 10_000
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
try:
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(hard, count + 200),) * 2)
except ValueError:
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = min(count, hard - 200)

def descriptors():
    return len(list(pathlib.Path("/proc/self/fd").iterdir()))

def mappings():
    return pathlib.Path("/proc/self/maps").read_text().count("\\n")

def resident():
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

conveyor.Queue()
before = descriptors(), mappings(), resident()
queues = [conveyor.Queue() for _ in range(count)]
assert descriptors() - before[0] == count
assert mappings() - before[1] < count + 100
assert resident() - before[2] < count * (64 << 10), "memory"
assert sum(os.fstat(file).st_blocks * 512 for file in range(3, count + 3)) < count * (64 << 10), "memory, mapped or not"
for number, queue in enumerate(queues):
    queue.put(number)
if os.fork() == 0:
    assert [queue.get() for queue in queues[::1000]] == list(range(0, count, 1000))
    os._exit(0)
assert os.wait()[1] == 0
assert queues[1].get() == 1 and queues[1000].empty()
del queues, queue
assert descriptors() == before[0]
print("fine")
"""


def test_ten_thousand_queues_in_a_process() -> None:
    done = python(TEN_THOUSAND)
    assert (done.stdout, done.stderr) == ("fine\n", "")


NO_MORE = """
import resource, sys
import conveyor
kept = [conveyor.Queue()]
if sys.argv[1] == "descriptors":
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
else:
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, resource.RLIM_INFINITY))
try:
    for _ in range(2000):
        kept.append(conveyor.Queue())
except (OSError, conveyor.OutOfMemory) as error:
    print(type(error).__name__, getattr(error, "errno", None), error)
del kept[-10:]  # an item needs room, too
for queue in (kept[0], kept[-1]):
    queue.put("as before")
    assert queue.get() == "as before"
made = len(kept)
kept.clear()
kept.append(conveyor.Queue())
print("more", made > 50)
"""


@pytest.mark.parametrize(
    ("what", "error"),
    [
        (
            "descriptors",
            "OSError 24 [Errno 24] cannot create shared memory (memfd_create) for a queue: Too many open files "
            "(see ulimit -n)",
        ),
        (
            "addresses",
            "OutOfMemory None cannot map a queue's shared memory (see ulimit -v, sysctl vm.max_map_count): "
            "Cannot allocate memory",
        ),
    ],
)
def test_a_queue_too_many_says_which_limit(what: str, error: str) -> None:
    done = python(NO_MORE, what)
    assert done.stdout == f"{error}\nmore True\n"
    assert done.stderr == ""
