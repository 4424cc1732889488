"""make_output: what takes the bytes of a file that results go to."""

from __future__ import annotations

from ...errors import PipelineError
from .beginning import Beginning
from .local_output import LocalOutput
from .output import Output
from .remote_output import RemoteOutput
from .stdout_output import StdoutOutput
from .target import Target

__all__ = ["make_output"]


def make_output(target: Target, beginning: Beginning) -> Output:
    """What takes the bytes of a file.

    Args:
        target: the file.
        beginning: how; its place is in bytes.

    Raises:
        OSError, ImportError, ValueError: it cannot be written.
        PipelineError: it cannot be written like this, as by a run that is to be resumed.
    """
    if target.path is not None:
        return LocalOutput(target.path, beginning)
    if beginning.resumable:
        why = (
            "what was printed cannot be taken back"
            if target.is_stdout
            else "it is there only when it is whole"
        )
        raise PipelineError(
            f"resume cannot go on with {target.shown!r}: {why}; write to a file of this machine, and copy that"
        )
    if target.is_stdout:
        return StdoutOutput()
    if beginning.appends:
        raise PipelineError(
            f"the items come from a queue and are acknowledged on the way, and {target.shown!r} is there only when it "
            'is whole; write to a file of this machine, or say Pipeline(queue, acknowledge="on_take")'
        )
    return RemoteOutput(target.address)
