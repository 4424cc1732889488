"""`conveyor completion SHELL`: a script that completes verbs, options and the names of local queues."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from .exit_codes import ExitCode

if TYPE_CHECKING:
    from cyclopts import App

__all__ = ["USAGE", "completion_of", "script"]

USAGE = """conveyor completion bash|zsh|fish

Examples:
  source <(conveyor completion bash)                   in ~/.bashrc
  conveyor completion zsh > ~/.zfunc/_conveyor         a folder of fpath
  conveyor completion fish > ~/.config/fish/completions/conveyor.fish
"""

# What the verbs' script does not know: names are asked for when somebody types one. A bash takes a URL for several
# words, because of its colon, and wants only what stands behind the last.
_NAMES = {
    "bash": """
_conveyor_with_names() {
  _conveyor "$@"
  (( COMP_CWORD >= 2 )) || return
  local line=${COMP_LINE:0:COMP_POINT}
  local word=${line##* } names found head=
  [[ $word == -* ]] && return
  names=$(conveyor ls --names 2>/dev/null) || return
  [[ $word == *:* && $COMP_WORDBREAKS == *:* ]] && head=${word%"${word##*:}"}
  while IFS= read -r found; do
    COMPREPLY+=("${found#"$head"}")
  done < <(compgen -W "$names" -- "$word")
}
complete -o default -F _conveyor_with_names conveyor
""",
    "zsh": """
_conveyor() {
  _cyclopts_conveyor "$@"
  if (( CURRENT >= 3 )) && [[ $PREFIX != -* ]]; then
    compadd -- ${(f)"$(conveyor ls --names 2>/dev/null)"}
  fi
}
if [[ $funcstack[1] == _conveyor ]]; then  # a file of fpath, at the first use
  _conveyor "$@"
else
  compdef _conveyor conveyor
fi
""",
    "fish": """
complete -c conveyor -n 'not __fish_use_subcommand' -a '(conveyor ls --names 2>/dev/null)' -d 'in shared memory'
""",
}


def completion_of(build: Callable[[], App]) -> Callable[..., int]:
    """The verb for the application that this builds."""

    def completion(shell: Literal["bash", "zsh", "fish"], /) -> int:
        """Print the script that makes a shell complete what is typed: verbs, options, and queues in shared memory.

        Args:
            shell: Which one.
        """
        print(script(build(), shell), end="")
        return ExitCode.OK

    return completion


def script(app: App, shell: Literal["bash", "zsh", "fish"]) -> str:
    """The script for this application."""
    return app.generate_completion(shell=shell).rstrip("\n") + "\n" + _NAMES[shell]
