"""Run a program as on a file system that has no files without a name: `without_tmpfile.py PROGRAM ARGUMENT...`.

A filter of system calls answers EOPNOTSUPP to each `open` with O_TMPFILE, for the program and all that it starts.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys

_OPENAT = {"x86_64": 257, "aarch64": 56}[platform.machine()]
_FLAGS_AT = 16 + 2 * 8  # of struct seccomp_data: the third argument's lower half
_LOAD, _EQUAL, _HAS_BITS, _RETURN = 0x20, 0x15, 0x45, 0x06
_ALLOW, _FAIL = 0x7FFF0000, 0x00050000 | errno.EOPNOTSUPP
_O_TMPFILE_ALONE = os.O_TMPFILE & ~os.O_DIRECTORY
_SET_NO_NEW_PRIVILEGES, _SET_FILTER, _FILTER = 38, 22, 2


def forbid() -> None:
    """Put the filter over this process."""
    steps = [
        (_LOAD, 0, 0, 0),  # the number of the call
        (_EQUAL, 0, 3, _OPENAT),
        (_LOAD, 0, 0, _FLAGS_AT),
        (_HAS_BITS, 0, 1, _O_TMPFILE_ALONE),
        (_RETURN, 0, 0, _FAIL),
        (_RETURN, 0, 0, _ALLOW),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    program = struct.pack("@HP", len(steps), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in ((_SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0), (_SET_FILTER, _FILTER, program, 0, 0)):
        if libc.prctl(*arguments):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    assert refuses(), "the filter does nothing"


def refuses() -> bool:
    """Whether files without a name are refused."""
    try:
        os.close(os.open("/tmp", os.O_TMPFILE | os.O_RDWR, 0o600))
    except OSError as error:
        return error.errno == errno.EOPNOTSUPP
    return False


if __name__ == "__main__":
    forbid()
    os.execvp(sys.argv[1], sys.argv[1:])
