"""Says what keeps wheels from being portable: `python scripts/wheel_check.py WHEEL...`; the status is 1 if anything.

What is looked at: the tags and the policy that auditwheel finds, the libraries that the extension needs, whether the
C++ runtime is in it and the unwinder is not, what it exports, and that each file is as RECORD has it.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection
from elftools.elf.sections import SymbolTableSection

MACHINES = {"x86_64": "EM_X86_64", "aarch64": "EM_AARCH64"}
# All of them are in every glibc system. ld-linux: for __tls_get_addr.
NEEDED = {"libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libgcc_s.so.1"}
NEWEST = {"GLIBC": (2, 28), "GCC": (7, 0, 0)}  # manylinux_2_28 has them


def record_faults(archive: zipfile.ZipFile) -> Iterator[str]:
    [path] = [name for name in archive.namelist() if name.endswith(".dist-info/RECORD")]
    rows = {row[0]: row for row in csv.reader(io.StringIO(archive.read(path).decode()))}
    names = {name for name in archive.namelist() if not name.endswith("/")}
    if set(rows) != names:
        yield f"RECORD and the files differ in {sorted(set(rows) ^ names)}"
    for name in set(rows) & names - {path}:
        digest = base64.urlsafe_b64encode(hashlib.sha256(archive.read(name)).digest()).rstrip(b"=").decode()
        if rows[name][1] != f"sha256={digest}":
            yield f"{name} is not what RECORD has"


def extension_faults(data: bytes, arch: str) -> Iterator[str]:
    elf = ELFFile(io.BytesIO(data))
    if elf["e_machine"] != MACHINES[arch]:
        yield f"the extension is for {elf['e_machine']}, not {arch}"
    needed: set[str] = set()
    for section in elf.iter_sections():
        if isinstance(section, DynamicSection):
            needed = {tag.needed for tag in section.iter_tags() if tag.entry.d_tag == "DT_NEEDED"}
            if any(tag.entry.d_tag in {"DT_RPATH", "DT_RUNPATH"} for tag in section.iter_tags()):
                yield "the extension has a path of libraries of its own"
        elif isinstance(section, GNUVerNeedSection):
            for _, versions in section.iter_versions():
                for version in versions:
                    kind, _, number = version.name.partition("_")
                    if tuple(map(int, number.split("."))) > NEWEST.get(kind, ()):
                        yield f"the extension needs {version.name}"
        elif isinstance(section, SymbolTableSection) and section.name == ".dynsym":
            defined = {s.name for s in section.iter_symbols() if s["st_shndx"] != "SHN_UNDEF" and s.name}
            if defined != {"PyInit__native"}:
                yield f"the extension exports {sorted(defined)[:5]} and not PyInit__native alone"
            wanted = {s.name for s in section.iter_symbols() if s["st_shndx"] == "SHN_UNDEF"}
            if "_Unwind_Resume" not in wanted:
                yield "the extension has an unwinder of its own: see docs/adr/0033-wheels.md"
            if runtime := sorted(
                name for name in wanted if name.startswith(("_ZNSt", "_ZSt", "__cxa_throw"))
            ):
                yield f"the C++ runtime is not in the extension: {runtime[0]}"
    foreign = {name for name in needed - NEEDED if not name.startswith("ld-linux")}
    if foreign or "libgcc_s.so.1" not in needed:
        yield f"the extension needs {sorted(needed)}"


def faults(wheel: Path) -> list[str]:
    """What is wrong with this wheel."""
    name, version, python, abi, platforms = wheel.name.removesuffix(".whl").split("-")
    found: list[str] = []
    match = re.fullmatch(
        r"(?:manylinux\w+?_(?=x86_64|aarch64)\w+\.)*manylinux_2_(\d+)_(x86_64|aarch64)", platforms
    )
    if match is None or int(match[1]) > 28 or python != abi or not re.fullmatch(r"cp3\d\d", python):
        return [f"its tags are {python}-{abi}-{platforms}"]
    arch = match[2]
    with zipfile.ZipFile(wheel) as archive:
        found += record_faults(archive)
        info = f"{name}-{version}.dist-info"
        if f"{info}/licenses/LICENSE" not in archive.namelist():
            found.append("there is no LICENSE in it")
        tags = set(re.findall(r"^Tag: (.*?)\r?$", archive.read(f"{info}/WHEEL").decode(), re.M))
        if tags != {f"{python}-{abi}-{each}" for each in platforms.split(".")}:
            found.append(f"its name has other tags than WHEEL: {sorted(tags)}")
        modules = [each for each in archive.namelist() if ".so" in each]
        if modules != [f"conveyor/_native.cpython-{python[2:]}-{arch}-linux-gnu.so"]:
            found.append(f"its libraries are {modules}")
        else:
            found += extension_faults(archive.read(modules[0]), arch)
    shown = subprocess.run(
        [sys.executable, "-m", "auditwheel", "show", wheel], capture_output=True, text=True, check=False
    )
    policy = re.search(r'platform tag:\s+"manylinux_2_(\d+)_', " ".join(shown.stdout.split()))
    if policy is None or int(policy[1]) > 28:
        found.append(f"auditwheel says: {shown.stdout} {shown.stderr}")
    return found


def main() -> None:
    status = 0
    for wheel in map(Path, sys.argv[1:]):
        for fault in faults(wheel):
            print(f"{wheel.name}: {fault}", file=sys.stderr)
            status = 1
    sys.exit(status)


if __name__ == "__main__":
    main()
