"""RayExecutor: a Ray cluster as an executor."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Any

__all__ = ["RayExecutor", "ray_of"]


def ray_of(given: Any) -> Any:
    """What has Ray's functions: the module `ray`, its client's stand-in for that, or, of what `ray.init` returned, the
    module; None: `given` is nothing of Ray's.
    """
    if all(callable(getattr(given, name, None)) for name in ("remote", "get", "cancel", "cluster_resources")):
        return given
    return sys.modules.get("ray") if type(given).__module__.partition(".")[0] == "ray" else None


class _Task(Future[Any]):
    """The result of a task; cancelling it interrupts the task as well."""

    def __init__(self, cancel: Callable[[], object]) -> None:
        super().__init__()
        self._cancel = cancel

    def cancel(self) -> bool:
        self._cancel()
        return super().cancel()

    def follow(self, done: Future[Any]) -> None:
        """Take over what came of it."""
        error = done.exception()
        with suppress(InvalidStateError):  # it was cancelled
            if error is None:
                self.set_result(done.result())
            else:
                self.set_exception(error)


class RayExecutor:
    """Gives Ray what is submitted as tasks, which Ray does not try again by itself: how often is the stage's to say.

    Args:
        ray: what has Ray's functions.
    """

    def __init__(self, ray: Any) -> None:
        self._ray = ray
        self._remotes: dict[Any, Any] = {}
        self._max_workers = max(int(ray.cluster_resources().get("CPU", 0)), 1)

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
        """Have it called somewhere in the cluster."""
        remote = self._remotes.get(function)
        if remote is None:
            remote = self._remotes[function] = self._ray.remote(max_retries=0)(function)
        reference = remote.remote(*arguments)
        task = _Task(lambda: self._ray.cancel(reference))
        reference.future().add_done_callback(task.follow)
        return task
