"""Run in a bare root, as a user would: `pythonX.Y /given/wheel_smoke.py`, with the wheels and the README beside it.

Installs the wheel, then runs `conveyor demo`, the README's first program, and one that takes the extension through
children of every start method, errors of C++ and the end of the interpreter. The last line: seconds of the first three.
"""

import re
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

GIVEN = Path(__file__).parent

PROGRAM = """
import pathlib, sys, threading, queue
import conveyor
import conveyor.multiprocessing as multiprocessing


def work(tasks, answers, seen):
    with seen.update("count") as value:
        value.value = value.get(0) + 1
    answers.put(len(tasks.get()))


def wait_for_ever(tasks, started):
    started.wait()
    while True:
        try:
            tasks.get(timeout=0.0005)
        except queue.Empty:
            pass


if __name__ == "__main__":
    seen = conveyor.SharedDict()
    for method in ("fork", "spawn", "forkserver"):
        context = multiprocessing.get_context(method)
        tasks, answers = context.Queue(), context.Queue()
        process = context.Process(target=work, args=(tasks, answers, seen))
        process.start()
        tasks.put(bytes(300_000))
        assert answers.get(timeout=300) == 300_000
        process.join()
        assert process.exitcode == 0, process.exitcode
    assert seen["count"] == 3
    nothing = conveyor.Queue()
    for call, error in (
        (lambda: nothing.get(timeout=0.01), queue.Empty),
        (lambda: nothing.put(lambda: None), Exception),
        (lambda: nothing.get(timeout="x"), TypeError),
        (lambda: conveyor.Queue(max_bytes=-1), ValueError),
        (lambda: seen["absent"], KeyError),
    ):
        try:
            call()
        except error:
            continue
        raise AssertionError(error)
    topic = conveyor.Topic()
    with topic.subscribe() as events:
        topic.publish((1, "two", 3.0))
        assert events.get(timeout=60) == (1, "two", 3.0)
    assert sorted(conveyor.Pipeline(range(5)).map(str, workers=2).stream()) == list("01234")
    assert all(pathlib.Path("/usr/bin/" + name).exists() is False for name in ("cc", "gcc", "g++"))
    # Their calls are broken off when the interpreter ends, through frames of the extension.
    started = threading.Barrier(5)
    for _ in range(4):
        threading.Thread(target=wait_for_ever, args=(nothing, started), daemon=True).start()
    started.wait()
    print("all is well on", sys.version.split()[0], conveyor.__file__)
"""


def run(*command: str) -> str:
    done = subprocess.run(
        command, cwd="/tmp", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=900, check=False
    )
    text = done.stdout.decode(errors="replace")
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.returncode}\n{text}")
    return text


def main() -> None:
    [wheel] = GIVEN.glob("wheels/conveyor-*.whl")
    version = wheel.name.split("-")[1]
    started = time.monotonic()
    options = ["--no-index", f"--find-links={GIVEN}/wheels", "--root-user-action=ignore"]
    if Path(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED").exists():
        options.append("--break-system-packages")
    if any(Path("/usr/bin").glob("python3*.emulated")):
        options.append("--no-compile")  # which takes an emulator minutes, and says nothing of the wheel
    run(sys.executable, "-m", "pip", "install", "--quiet", *options, f"conveyor[cli]=={version}")
    installed = time.monotonic()
    # Debian's pip installs beside the system's own files, under /usr/local.
    places = {"/usr/local/bin", sysconfig.get_path("scripts")}
    [command] = [path for path in (Path(place, "conveyor") for place in places) if path.exists()]
    assert "Done!" in run(str(command), "demo")
    demonstrated = time.monotonic()
    program = Path("/tmp/readme.py")
    blocks = re.findall(r"^```python\n(.*?)^```$", (GIVEN / "README.md").read_text("utf-8"), re.M | re.S)
    program.write_text(blocks[0], "utf-8")
    assert run(sys.executable, str(program)).split() == list("01234")
    ended = time.monotonic()
    own = Path("/tmp/program.py")
    own.write_text(PROGRAM, "utf-8")
    print(run(sys.executable, "-W", "error", str(own)), end="")
    print(f"{installed - started:.1f} {demonstrated - installed:.1f} {ended - demonstrated:.1f}")


main()
