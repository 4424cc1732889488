"""Let an installed conveyor run the Python files of this tree: `link_sources.py [PACKAGE_FOLDER]`.

After `pip install .` every Python file of the installed package becomes a symbolic link to the one
in src/, so that an edit counts at once. Without the folder's name: the package of the interpreter
that runs this.

Why not `pip install --editable`: scikit-build-core's editable mode puts an import hook into every
start of the interpreter. Each spawned child would pay for it, `python -X importtime` would measure
it, and the layout would not be the one that users get. A link costs nothing and has no hook.
"""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

SOURCES = Path(__file__).resolve().parent.parent / "src" / "conveyor"
LINKED = {".py", ".pyi", ".typed", ".html", ".css", ".js"}


def link(package: Path) -> None:
    """Make `package` hold a link for each Python file of the sources, for what pages need, and no other Python file."""
    wanted = {
        path.relative_to(SOURCES)
        for path in SOURCES.rglob("*")
        if path.suffix in LINKED and "__pycache__" not in path.parts
    }
    for old in [*package.rglob("*.py"), *package.rglob("*.pyi")]:
        if old.is_symlink() or (old.suffix == ".py" and old.relative_to(package) not in wanted):
            old.unlink()
    for relative in wanted:
        target = package / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        target.symlink_to(SOURCES / relative)


if __name__ == "__main__":
    link(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(sysconfig.get_path("platlib")) / "conveyor")
