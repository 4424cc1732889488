"""Turn the docstrings of `_native.pyi` into a C++ header, so that `help(Queue.put)` shows the same text.

Usage: native_docs.py STUB HEADER. The build runs it (CMakeLists.txt); the stub is the one source.
"""

from __future__ import annotations

import ast
import inspect
import sys
from pathlib import Path


def main(stub: Path, header: Path) -> None:
    """Write `header` with one constant for each documented class and method of `stub`."""
    lines = ["// Made by scripts/native_docs.py from _native.pyi.", "#pragma once", ""]
    lines.append("namespace conveyor::python::docs {")
    for node in ast.parse(stub.read_text()).body:
        if not isinstance(node, ast.ClassDef):
            continue
        if text := ast.get_docstring(node):
            lines.append(f'inline constexpr const char* {node.name} = R"doc({inspect.cleandoc(text)})doc";')
        for member in node.body:
            if isinstance(member, ast.FunctionDef) and (text := ast.get_docstring(member)):
                name = f"{node.name}_{member.name}"
                lines.append(f'inline constexpr const char* {name} = R"doc({inspect.cleandoc(text)})doc";')
    lines.append("}  // namespace conveyor::python::docs")
    header.parent.mkdir(parents=True, exist_ok=True)
    header.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
