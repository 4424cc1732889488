"""The `conveyor` command: parses, calls the verb, turns errors into messages and exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from .._command_line import missing_sentence
from .exit_codes import CommandError, ExitCode
from .map_inputs import apart
from .quick import QUICK_VERBS, quick_call, quick_verb

if TYPE_CHECKING:
    from cyclopts import App

__all__ = ["build_app", "main"]

# What --help begins with; lines fit into 80 columns, as the help is not wrapped again.
USAGE = """conveyor COMMAND

Examples:
  conveyor demo                         a producer and a consumer, two processes
  ls *.log | conveyor map -j 4 tools.py:count     a function for each line
  conveyor map --jsonl shop:price < in.jsonl      the same with JSON lines
  conveyor map --shell 'gzip -9 {}' ::: *.log     a command for each
  conveyor run etl.py:pipeline -j 4     stages of work, and which one is slow
  conveyor put redis://localhost/0/jobs a b    items into a queue, anywhere
  conveyor get --all shm://jobs         and out of it, a line each
  conveyor peek shm://jobs              what would come out of it, and stays
  conveyor retry --from shm://failed shm://jobs   what failed, once more
  conveyor tail nats://localhost/events     what is published from now on
  conveyor top                          what runs here, live
  conveyor dump 4711                    what each thread of a process waits for
  conveyor info shm://jobs              what is in a queue, and went through it
  conveyor ls                           what there is in shared memory
  conveyor wait shm://jobs              until nothing is left in it
  conveyor dash                         all of it as a page, as it is now
  conveyor doctor                       is all well here, and what to do if not
  conveyor gc --dry-run                 named queues that nobody uses
  conveyor bench --quick                measure it here, beside its rivals
"""

HELP = """Producers and consumers in different processes, joined by fast queues.

Every option has an environment variable: for --start-method of the verb map it
is CONVEYOR_MAP_START_METHOD. NO_COLOR is honoured.

Exit codes: 0 done, 1 work failed, 2 usage or import, 3 unreachable,
4 timeout or empty, 5 refused, 6 worker lost, 130 and 143 forced to stop.
"""


def build_app() -> App:
    """The command-line application, with all its verbs."""
    from cyclopts import App
    from cyclopts.config import Env

    from .. import __version__
    from .bench import bench
    from .completion import USAGE as COMPLETION_USAGE
    from .completion import completion_of
    from .dash import USAGE as DASH_USAGE
    from .dash import dash
    from .demo import demo
    from .doctor import doctor
    from .gc import gc
    from .get import get
    from .info import info
    from .metrics import metrics
    from .move import move, retry
    from .option import for_cyclopts
    from .pause import pause, resume
    from .peek import peek
    from .purge import purge
    from .put import put
    from .rm import rm
    from .run import USAGE as RUN_USAGE
    from .run import run_pipeline
    from .tail import tail
    from .wait import wait

    app = App(
        name="conveyor",
        usage=USAGE,
        help=HELP,
        help_format="plaintext",
        version=__version__,
        config=Env("CONVEYOR_"),
    )
    app.command(run_pipeline, name="run", usage=RUN_USAGE)
    app.command(dash, usage=DASH_USAGE)
    app.command(
        metrics,
        usage="conveyor metrics [OPTIONS]\n\nExample:\n  conveyor metrics > /var/lib/node_exporter/conveyor.prom\n",
    )
    app.command(demo, usage="conveyor demo [OPTIONS]\n\nExample:\n  conveyor demo --seed 7\n")
    app.command(
        put,
        usage="conveyor put [OPTIONS] URL [ITEM...]\n\nExamples:\n  find . -name '*.csv' | conveyor put redis://localhost/0/jobs\n"
        "  conveyor put frames a b              a label, as conveyor ls has it\n",
    )
    app.command(
        get,
        usage="conveyor get [OPTIONS] URL\n\nExamples:\n  conveyor get --all --lease sqlite:///jobs.db > jobs.txt\n"
        "  conveyor get -n 3 frames             a label, as conveyor ls has it\n",
    )
    app.command(
        peek,
        usage="conveyor peek [OPTIONS] URL\n\nExamples:\n  conveyor peek -n 3 shm://jobs\n"
        "  conveyor peek jobs.py:12             the line that made it\n"
        "  conveyor peek --dead redis://localhost/0/jobs   what was given up, and why\n",
    )
    app.command(
        tail,
        usage="conveyor tail [OPTIONS] URL\n\nExamples:\n  conveyor tail --key 'sensor.#' nats://localhost/events\n"
        "  conveyor tail prices                 a label, as conveyor ls has it\n",
    )
    app.command(
        info,
        usage="conveyor info [OPTIONS] URL\n\nExamples:\n  conveyor info shm://jobs --json\n"
        "  conveyor info 4711                   all that a process has\n",
    )
    app.command(
        purge,
        usage="conveyor purge [OPTIONS] URL\n\nExamples:\n  conveyor purge --dry-run shm://jobs\n"
        "  conveyor purge frames                a label, as conveyor ls has it\n",
    )
    app.command(
        move,
        usage="conveyor move [OPTIONS] FROM TO\n\nExamples:\n  conveyor move -n 100 shm://jobs redis://localhost/0/jobs\n"
        "  conveyor move frames shm://jobs      a label, as conveyor ls has it\n",
    )
    app.command(
        retry,
        usage="conveyor retry [OPTIONS] URL\n\nExamples:\n"
        "  conveyor retry --error Timeout redis://localhost/0/jobs\n"
        "  conveyor retry --from shm://failed shm://jobs      its dead letters are there\n"
        "  conveyor retry --from failed frames  labels, as conveyor ls has them\n",
    )
    app.command(
        pause,
        usage="conveyor pause [OPTIONS] URL\n\nExamples:\n  conveyor pause shm://jobs\n"
        "  conveyor pause frames                a label, as conveyor ls has it\n",
    )
    app.command(
        resume,
        usage="conveyor resume [OPTIONS] URL\n\nExamples:\n  conveyor resume shm://jobs\n"
        "  conveyor resume frames               a label, as conveyor ls has it\n",
    )
    app.command(
        wait,
        usage="conveyor wait [OPTIONS] URL\n\nExamples:\n  conveyor wait --timeout 60 shm://jobs\n"
        "  conveyor wait frames                 a label, as conveyor ls has it\n",
    )
    app.command(rm, usage="conveyor rm [OPTIONS] URL\n\nExample:\n  conveyor rm -f shm://jobs\n")
    app.command(
        doctor,
        usage="conveyor doctor [OPTIONS] [URL...]\n\nExample:\n  conveyor doctor --json | jq .advice\n",
    )
    app.command(gc, usage="conveyor gc [OPTIONS] [URL...]\n\nExample:\n  conveyor gc --dry-run\n")
    app.command(completion_of(build_app), name="completion", usage=COMPLETION_USAGE)
    for name in QUICK_VERBS:
        verb = quick_verb(name)
        app.command(for_cyclopts(verb), name=name, usage=sys.modules[verb.__module__].USAGE)
    # Its options are its own: everything behind `bench` is passed through, --help too.
    app.command(bench, help_flags=[], version_flags=[])
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: the words behind `conveyor`; None: of this process.

    Returns:
        The exit code, see `ExitCode`.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    verb = words[0] if words and not words[0].startswith("-") else ""
    if verb == "map":
        words = apart(words)
    name = f"conveyor {verb}".strip()
    if words == ["--version"]:
        return _show_version()  # scripts ask for it; the parser would know it after half a second
    try:
        call: Callable[[], object] | None = quick_call(words)
        if call is None:
            if (missing := missing_sentence()) is not None:
                return _complain(f"conveyor: {missing}", ExitCode.USAGE)
            call = _parsed(words, name)
        code = call()
        sys.stdout.flush()
    except CommandError as error:
        return _complain(f"{name}: {error}{_where_from(str(error), verb, words)}", error.code)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # Who read our output has had enough. What is left in the buffer must not be tried again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    return code if isinstance(code, int) else ExitCode.OK


def _where_from(message: str, verb: str, words: Sequence[str]) -> str:
    """If the message is of the value of an option that nobody has typed: the variable that has it."""
    option, _, rest = message.partition(" ")
    variable = f"CONVEYOR_{verb}_{option.removeprefix('--')}".replace("-", "_").upper()
    typed = any(word.partition("=")[0] == option for word in words)
    return f" ({variable})" if rest.startswith("is ") and variable in os.environ and not typed else ""


def _show_version() -> int:
    from .. import __version__

    print(__version__)
    return ExitCode.OK


def _parsed(words: Sequence[str], name: str) -> Callable[[], object]:
    """What these words ask for.

    Raises:
        CommandError: they are wrong.
    """
    from cyclopts import CycloptsError

    try:
        command, bound, *_ = build_app().parse_args(
            words or ["--help"], exit_on_error=False, print_error=False
        )
    except CycloptsError as error:
        error.verbose = False
        raise CommandError(f"{str(error).strip()}\nTry '{name} --help'.") from None
    return partial(command, *bound.args, **bound.kwargs)


def _complain(message: str, code: ExitCode) -> int:
    print(message, file=sys.stderr)
    return code
