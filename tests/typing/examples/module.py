"""The rest of the public names, as a type checker sees them. Never run."""

from typing import Any, assert_type

import conveyor
from conveyor import ConveyorError, Empty, Full, ItemTooLarge, OutOfMemory, Pipe, install, uninstall


def pipes() -> None:
    a, b = Pipe()
    a.send({"any": "thing"})
    assert_type(b.recv(), Any)
    assert_type(b.poll(0.1), bool)
    Pipe(duplex=False)
    Pipe("both")  # wrong


def errors(q: conveyor.Queue[int]) -> int | None:
    try:
        q.put(1, timeout=1)
        return q.get_nowait()
    except (Full, Empty):
        return None
    except ItemTooLarge as error:
        as_value_error: ValueError = error
        raise as_value_error from None
    except OutOfMemory as error:
        ours: ConveyorError = error
        raise ours from None


def installing() -> None:
    install()
    uninstall()
    print(conveyor.no_such_name)  # wrong
