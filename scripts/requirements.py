"""Print what pyproject.toml requires: `python scripts/requirements.py build run test ...`.

`build` is the build system's part, `run` the dependencies, anything else an extra. The Makefile
installs from here, so that each requirement is written down once.
"""

from __future__ import annotations

import shutil
import sys
import tomllib
from pathlib import Path


def requirements(groups: list[str]) -> list[str]:
    """The requirements of the named groups, in order, each once."""
    pyproject = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())
    project = pyproject["project"]
    found: dict[str, None] = {}
    for group in groups:
        if group == "build":
            found.update(dict.fromkeys(pyproject["build-system"]["requires"]))
            # As scikit-build-core does in an isolated build: from PyPI where the system has none.
            found.update(dict.fromkeys(tool for tool in ("cmake", "ninja") if shutil.which(tool) is None))
        elif group == "run":
            found.update(dict.fromkeys(project.get("dependencies", [])))
        else:
            found.update(dict.fromkeys(project["optional-dependencies"][group]))
    return list(found)


if __name__ == "__main__":
    print("\n".join(requirements(sys.argv[1:])))
