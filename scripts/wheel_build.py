"""Builds a portable wheel for CPython VERSION: `python scripts/wheel_build.py ARCH VERSION HEADERS FOLDER`.

Clang and libc++ of the package ziglang compile and link for glibc 2.28 and for either processor. The C++ runtime is
linked in; the unwinder is not: CPython up to 3.13 ends threads by pthread_exit, which unwinds by libgcc_s, and a frame
of ours must know the same unwinder (docs/adr/0033-wheels.md). What is the same in all wheels of a processor, the core,
is built once.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "wheels"
GLIBC = "2.28"
LIBGCC = {  # the unwinder that is linked against: its functions, and their versions, are those of the first libgcc_s
    "x86_64": "/lib/x86_64-linux-gnu/libgcc_s.so.1",
    "aarch64": "/usr/aarch64-linux-gnu/lib/libgcc_s.so.1",  # Debian: libgcc-s1-arm64-cross
}


def run(*command: str | Path, cwd: Path = ROOT) -> None:
    """A command whose output is shown only when it fails."""
    scripts = sysconfig.get_path("scripts")
    # The launcher is a compiler cache's, which does not know this compiler.
    env = {name: value for name, value in os.environ.items() if name != "CMAKE_CXX_COMPILER_LAUNCHER"}
    env["PATH"] = f"{env['PATH']}:{scripts}"
    done = subprocess.run(
        command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    if done.returncode:
        sys.exit(f"{shlex.join(map(str, command))}:\n{done.stdout.decode(errors='replace')}")


def toolchain(arch: str) -> Path:
    """A toolchain file of CMake, for ziglang's compiler."""
    folder = BUILD / arch
    folder.mkdir(parents=True, exist_ok=True)
    for tool in ("c++", "ar", "ranlib"):
        program = folder / f"zig-{tool}"
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m ziglang {tool} "$@"\n')
        program.chmod(0o755)
    exported = folder / "exported"
    exported.write_text("{ global: PyInit__native; local: *; };\n")
    file = folder / "toolchain.cmake"
    file.write_text(f"""\
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR {arch})
set(CMAKE_CXX_COMPILER "{folder}/zig-c++")
set(CMAKE_CXX_COMPILER_TARGET {arch}-linux-gnu.{GLIBC})
set(CMAKE_AR "{folder}/zig-ar" CACHE FILEPATH "")
set(CMAKE_CXX_COMPILER_AR "{folder}/zig-ar")
set(CMAKE_RANLIB "{folder}/zig-ranlib" CACHE FILEPATH "")
set(CMAKE_CXX_COMPILER_RANLIB "{folder}/zig-ranlib")
set(CMAKE_CXX_SCAN_FOR_MODULES OFF)
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)  # a program would have libc++ built once more, for debugging
set(CMAKE_STRIP true)  # the linker does it, for any processor
# What comes first on the linker's command line defines: libgcc_s, and then nothing needs ziglang's own libunwind.
set(CMAKE_MODULE_LINKER_FLAGS_INIT "-Wl,-s -Wl,--version-script={exported} {LIBGCC[arch]}")
""")
    return file


def configure_and_build(arch: str, name: str, *options: str) -> Path:
    folder = BUILD / arch / name
    run(
        "cmake",
        "-S",
        ROOT,
        "-B",
        folder,
        "-G",
        "Ninja",
        f"-DCMAKE_TOOLCHAIN_FILE={toolchain(arch)}",
        *options,
    )
    run("cmake", "--build", folder)
    return folder


def core(arch: str) -> Path:
    """The core as a static library."""
    return configure_and_build(arch, "core", "-DCONVEYOR_PYTHON=OFF") / "libconveyor_core.a"


def extension(arch: str, version: str, headers: Path) -> Path:
    """The extension module for one version of CPython."""
    folder = configure_and_build(
        arch,
        version,
        f"-DCONVEYOR_CORE={core(arch)}",
        f"-DCONVEYOR_PYTHON_HEADERS={headers}",
        f"-DPython_EXECUTABLE={sys.executable}",
    )
    [module] = folder.glob("_native.*.so")
    return module


def pure_wheel() -> Path:
    """All of the package but the extension, as its build system makes it."""
    folder = BUILD / "pure"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.whl"):
        old.unlink()
    options = ("--no-deps", "--no-build-isolation", "--config-settings=wheel.cmake=false")
    run(sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", folder, ROOT)
    [wheel] = folder.glob("*.whl")
    return wheel


def assemble(arch: str, version: str, module: Path, folder: Path) -> Path:
    """The wheel of the extension and of all else, named for plain linux."""
    python = "cp" + version.replace(".", "")
    tag = f"{python}-{python}-linux_{arch}"
    pure = pure_wheel()
    name, number = pure.name.split("-")[:2]
    wheel = folder / f"{name}-{number}-{tag}.whl"
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{number}.dist-info"
    record: list[str] = []
    with zipfile.ZipFile(pure) as source, zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as target:

        def add(path: str, data: bytes, mode: int = 0o644) -> None:
            entry = zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0))
            entry.external_attr = (0o100000 | mode) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            target.writestr(entry, data)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            record.append(f"{path},sha256={digest},{len(data)}\n")

        for path in source.namelist():
            if path.endswith("/") or path == f"{info}/RECORD":
                continue
            data = source.read(path)
            if path == f"{info}/WHEEL":
                kept = [
                    line
                    for line in data.decode().splitlines()
                    if not line.startswith(("Tag:", "Root-Is-Purelib:"))
                ]
                data = "\n".join(
                    [*(line for line in kept if line), "Root-Is-Purelib: false", f"Tag: {tag}", ""]
                ).encode()
            add(path, data)
        add(f"{name}/{module.name}", module.read_bytes(), 0o755)
        target.writestr(f"{info}/RECORD", "".join(record) + f"{info}/RECORD,,\n")
    return wheel


def repair(wheel: Path, folder: Path) -> Path:
    """The wheel under the name of the oldest policy that it keeps; wheel_check.py says whether that is old enough."""
    made = BUILD / "repaired"
    shutil.rmtree(made, ignore_errors=True)
    # The policy is not named: auditwheel's command line knows those of this machine's processor alone.
    run(sys.executable, "-m", "auditwheel", "repair", "--plat", "auto", "--wheel-dir", made, wheel)
    [repaired] = made.glob("*.whl")
    for old in folder.glob(
        "-".join(wheel.name.split("-")[:4]) + f"-*{wheel.stem.rpartition('-linux')[2]}.whl"
    ):
        old.unlink()
    return Path(shutil.move(repaired, folder))


def build(arch: str, version: str, headers: Path, folder: Path) -> Path:
    module = extension(arch, version, headers)
    return repair(assemble(arch, version, module, BUILD / "linux"), folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("arch", choices=LIBGCC)
    parser.add_argument("version")
    parser.add_argument("headers", type=Path)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    print(build(given.arch, given.version, given.headers.resolve(), given.folder.resolve()))
