"""A program that uses shared dicts and lists while bits in their memory are flipped.

See test_shared_state_processes.py.

    python flipping_state.py SEED

It prints how many calls were fine, and how many said that the memory is damaged. What they give may be wrong; anything
else, a crash above all, is a defect. Values are such as need no pickle: what unpickling damaged bytes does is Python's
business. The lock is left alone: a damaged one is held by somebody, and waited for.
"""

from __future__ import annotations

import faulthandler
import pickle
import random
import sys
from collections.abc import Callable
from typing import Any

from conveyor import SharedDict, SharedList
from conveyor.errors import ConveyorError

ROUNDS, CALLS = 60, 60
LOCK = 8
HEADER = 14_000
ALLOWED = (ConveyorError, LookupError, MemoryError, ValueError, TypeError, RuntimeError, TimeoutError)
# Where a value's kind is damaged, it may be taken for a pickle, which it is not.
OF_PICKLE = (
    pickle.UnpicklingError,
    ArithmeticError,
    AttributeError,
    EOFError,
    ImportError,
    SyntaxError,
    SystemError,
)


def flip(memory: memoryview, used: int, choose: random.Random) -> None:
    at = choose.choice([choose.randrange(LOCK, 1700), choose.randrange(LOCK, HEADER + used)])
    if choose.random() < 0.7:
        memory[at] ^= 1 << choose.randrange(8)
    elif at >= 2 * LOCK:
        at &= ~7
        value = choose.choice([0, 1, 2**32 - 1, 2**64 - 1, 2**63, choose.randrange(2**20)])
        memory[at : at + 8] = value.to_bytes(8, "little")


def value(choose: random.Random) -> Any:
    size = choose.randrange(60)
    return choose.choice(
        [size, "x" * size, [1.5, {"a": b"x" * size}], b"z" * choose.choice([10, 5000, 100_000])]
    )


def on_dict(shared: SharedDict[Any, Any], choose: random.Random) -> list[Callable[[], Any]]:
    key = choose.choice([choose.randrange(40), f"key {choose.randrange(40)}", (1, choose.randrange(9))])

    def update() -> None:
        with shared.updating(key, timeout=0.05) as held:
            held.value = held.get(3)

    return [
        lambda: shared.__setitem__(key, value(choose)),
        lambda: shared.__setitem__(key, value(choose)),
        lambda: shared.get(key),
        lambda: shared.pop(key, None),
        lambda: shared.setdefault(key, 5),
        lambda: shared._snapshot(True, True),
        lambda: shared.popitem(),
        lambda: len(shared),
        lambda: shared._check(),
        update,
    ]


def on_list(shared: SharedList[Any], choose: random.Random) -> list[Callable[[], Any]]:
    at = choose.randrange(-30, 30)
    return [
        lambda: shared.append(value(choose)),
        lambda: shared.insert(at, value(choose)),
        lambda: shared.extend([value(choose)] * 40),
        lambda: shared[at],
        lambda: shared[at:],
        lambda: shared.pop(at),
        lambda: shared.__setitem__(at, 1),
        lambda: shared.__setitem__(slice(at, at + 3), [value(choose)]),
        lambda: shared.__delitem__(slice(at, at + 3)),
        lambda: shared.reverse(),
        lambda: shared._check(),
    ]


def main(seed: int) -> None:
    faulthandler.enable()
    faulthandler.dump_traceback_later(50, exit=True)
    choose = random.Random(seed)
    fine = corrupt = 0
    for number in range(ROUNDS):
        shared: Any = SharedDict(max_bytes=2**20) if number % 2 else SharedList(max_bytes=2**20)
        calls = on_dict if number % 2 else on_list
        for _ in range(30):
            try:
                choose.choice(calls(shared, choose)[:3])()
            except (LookupError, MemoryError):
                continue
        memory = memoryview(shared._region)
        for _ in range(CALLS):
            flip(memory, 20_000, choose)
            try:
                choose.choice(calls(shared, choose))()
                fine += 1
            except (*ALLOWED, *OF_PICKLE):
                corrupt += 1
        memory.release()
    print(fine, corrupt)


if __name__ == "__main__":
    main(int(sys.argv[1]))
