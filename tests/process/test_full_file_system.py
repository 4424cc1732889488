"""A named queue on a file system that is full: what it keeps for later is there for whatever it needs now."""

from __future__ import annotations

import pytest
from test_defects_memory import in_namespace

LITTLE = "mount -t tmpfs -o size=4m none /dev/shm"

# A queue with small items, and with memory that it keeps warm: that of large items which were taken.
KEEPS_SOME = """
import conveyor
from conveyor.errors import OutOfMemory

queue = conveyor.connect("shm://little", create=True)
for number in range(500):
    queue.put(number)
for _ in range(8):
    queue.put(b"x" * 100_000)
"""
# Nothing is left beside what the queue has.
FILL_UP = """
def fill_up():
    with open("/dev/shm/others", "ab", buffering=0) as others:
        try:
            while others.write(b"x" * 4096) == 4096:
                pass
        except OSError:
            pass
"""
LEASES = f"""
{KEEPS_SOME}{FILL_UP}
small = queue.get_many(500)
large = queue.get_many(8)
assert small == list(range(500)) and len(large) == 8
queue.put_many(small)
fill_up()
kept = queue.statistics().memory_held
leases = [queue.lease() for _ in range(500)]
assert queue.statistics().memory_held < kept
assert [lease.item for lease in leases] == small
for lease in leases:
    lease.release()
assert queue.get_many(500) == small
assert queue._check() == "", queue._check()
print("fine")
"""
# All of it is in use: then the error says what is missing, and nothing has changed.
NOTHING_KEPT = f"""
{KEEPS_SOME}{FILL_UP}
fill_up()
leases = []
try:
    while True:
        leases.append(queue.lease())
except OutOfMemory as error:
    assert "/dev/shm" in str(error), error
assert len(leases) < 500, len(leases)
assert queue.qsize() == 508 - len(leases)
for lease in leases:
    lease.release()
assert queue.get_many(500) == list(range(500))
assert queue._check() == "", queue._check()
print("fine")
"""


@pytest.mark.parametrize("code", [LEASES, NOTHING_KEPT], ids=["kept", "nothing kept"])
def test_leases_of_a_queue_on_a_full_file_system(code: str) -> None:
    result = in_namespace(LITTLE, code)
    assert (result.stdout, result.stderr, result.returncode) == ("fine\n", "", 0)


FIRST_ITEM = f"""
import conveyor
{FILL_UP}
queue = conveyor.connect("shm://little", create=True)
place = queue.allocate(100_000, "u1")
del place
fill_up()
queue.put(1)
assert queue.get() == 1
assert queue._check() == "", queue._check()
print("fine")
"""


def test_the_first_item_of_a_queue_that_has_memory_for_a_larger_one() -> None:
    result = in_namespace(LITTLE, FIRST_ITEM)
    assert (result.stdout, result.stderr, result.returncode) == ("fine\n", "", 0)
