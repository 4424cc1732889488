"""What of conveyor belongs into a frozen program that imports it: all that is imported when it is first used.

PyInstaller sees the import statements of Python code. Native code imports `_memory.reducers` and `shared._keys`, and
the package's own names come from modules that are named in a table. The command line and the benchmark are no part of
a program.
"""

from PyInstaller.utils.hooks import collect_submodules  # type: ignore[import-not-found,import-untyped,unused-ignore]

_LEFT_OUT = (
    "conveyor.bench",
    "conveyor.cli",
    "conveyor.__main__",
    "conveyor._pyinstaller",
    "conveyor.multiprocessing.dummy.connection",  # has no file: it is the standard library's
)

hiddenimports = collect_submodules(  # pyright: ignore
    "conveyor",
    filter=lambda name: not name.startswith(_LEFT_OUT),  # pyright: ignore
    on_error="ignore",  # a codec's package that is not installed
)
