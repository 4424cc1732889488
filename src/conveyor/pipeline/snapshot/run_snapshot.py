"""RunSnapshot: all that is shown of a run, as JSON."""

from __future__ import annotations

import json
import time
from typing import Any

from ..base.phase import Phase
from ..base.worker_state import WorkerState
from ..engine.engine import Engine
from ..operators.node import Node
from ..operators.work import WorkNode
from ..progress.progress import StageProgress, progress_of
from ..progress.rates import Rates
from ..report.tally import Tally
from ..supervise.handle import WorkerHandle
from ..supervise.worker_stats import WorkerStats
from .page import MOST_BYTES
from .recent_load import RecentLoad
from .worker_figures import WorkerFigures

__all__ = ["RunSnapshot"]

_MOST_WORKERS = 256
_MOST_GONE = 4  # of a stage
_LOOK_AT_GONE = 32
_HISTORY = 60  # letters, of which there are about two a second
_MOST_NAME = 200


class RunSnapshot:
    """Looks at a run now and then.

    Args:
        engine: what runs it.
        tally: what has become of items that failed.
        about: what does not change: its id, its name, and so on.
    """

    def __init__(self, engine: Engine, tally: Tally, about: dict[str, Any]) -> None:
        self._engine = engine
        self._tally = tally
        self._about = {
            **about,
            "started": time.time() - (engine.now() - engine.began),
        }
        self._rates = Rates()
        self._load = RecentLoad(engine.nodes, engine.began)
        # What each worker was at; when we looked last, and how long it had been busy by then.
        self._histories: dict[WorkerHandle, tuple[str, float, float]] = {}

    def take(self, closing: bool = False) -> bytes:
        """How far it is now.

        Args:
            closing: its workers have left, and its ends are being closed.
        """
        found = self._document(closing)
        for key in (None, "workers", "failure_groups", "stages"):  # what is left out, and all before it
            if key is not None:
                found[f"{key}_left_out"] += len(found[key])
                found[key] = []
            data = json.dumps(found, separators=(",", ":")).encode()
            if len(data) <= MOST_BYTES:
                return data
        raise ValueError("what never changes is too long to be shown")

    def _document(self, closing: bool) -> dict[str, Any]:
        engine, tally = self._engine, self._tally
        now = engine.now()
        progress = progress_of(engine)
        self._rates.sample(progress)
        nodes = engine.nodes
        looks = [
            [(handle, WorkerFigures.of(handle)) for handle in node.pool.handles]
            if isinstance(node, WorkNode)
            else []
            for node in nodes
        ]
        self._load.look(now, [[figures for _, figures in look] for look in looks])
        places = {node: index for index, node in enumerate(nodes)}
        return {
            **self._about,
            "at": now,
            "seconds": progress.seconds,
            "phase": "closing" if closing else _phase(engine),
            "taken": progress.taken,
            "total": progress.total,
            "results": progress.results,
            "failures": progress.failures,
            "retries": tally.retried,
            "dead": tally.dead,
            "in_flight": progress.in_flight,
            "left": self._rates.left(progress),
            "stages": [
                self._stage(index, node, stage, [places[outlet] for outlet in node.outlets()])
                for index, (node, stage) in enumerate(zip(nodes, progress.stages, strict=True))
            ],
            "stages_left_out": 0,
            "workers": self._workers(now, looks),
            "workers_left_out": max(sum(map(len, looks)) - _MOST_WORKERS, 0),
            "failure_groups": tally.groups.as_list(),
            "failure_groups_left_out": tally.groups.left_out,
        }

    def _stage(self, index: int, node: Node, stage: StageProgress, feeds: list[int]) -> dict[str, Any]:
        name, kind, retries, deaths, most = stage.name, "engine", 0, 0, 0
        if isinstance(node, WorkNode):
            name = " + ".join(spec.name for spec in node.specs)
            kind = node.spec.where
            retries, deaths, most = node.retries, node.pool.deaths, node.pool.most
        return {
            "name": name[:_MOST_NAME],
            "kind": kind,
            "feeds": feeds,
            "taken": stage.taken,
            "given": stage.given,
            "failures": stage.failures,
            "retries": retries,
            "waiting": stage.waiting,
            "in_flight": stage.in_flight,
            "workers": stage.workers,
            "most_workers": most,
            "deaths": deaths,
            "ended": stage.ended,
            "bottleneck": index == self._load.bottleneck,
            "load": self._load.loads[index],
            "rate": self._rates.of(index),
        }

    def _workers(
        self, now: float, looks: list[list[tuple[WorkerHandle, WorkerFigures]]]
    ) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        histories: dict[WorkerHandle, tuple[str, float, float]] = {}
        for index, look in enumerate(looks):
            node = self._engine.nodes[index]
            if not isinstance(node, WorkNode):
                continue
            for handle, figures in sorted(look, key=lambda entry: entry[0].place):
                if len(found) >= _MOST_WORKERS:
                    break
                busy = figures.busy_by(now)
                history, at, before = self._histories.get(handle, ("", now, busy))
                state = figures.state
                if state in (
                    WorkerState.IDLE,
                    WorkerState.BUSY,
                ):  # what it mostly was since then, not just now
                    mostly = now > at and 2 * (busy - before) >= now - at
                    state = WorkerState.BUSY if mostly else WorkerState.IDLE if now > at else state
                history = (history + state.letter)[-_HISTORY:]
                histories[handle] = history, now, busy
                found.append(
                    {
                        "stage": index,
                        "place": handle.place,
                        "pid": handle.pid,
                        "state": figures.state,
                        "busy_seconds": figures.busy_seconds,
                        "wait_seconds": figures.wait_seconds,
                        "items": figures.items,
                        "since": figures.since or None,
                        "attempt": figures.attempt,
                        "outstanding": handle.outstanding,
                        "restarts": node.pool.restarts.get(handle.place, 0),
                        "end": "",
                        "history": history,
                    }
                )
            lost = [stats for stats in node.pool.worker_stats[-_LOOK_AT_GONE:] if stats.end][-_MOST_GONE:]
            found += [_gone(index, stats) for stats in lost if len(found) < _MOST_WORKERS]
        self._histories = histories
        return found


def _gone(stage: int, stats: WorkerStats) -> dict[str, Any]:
    return {
        "stage": stage,
        "place": None,
        "pid": stats.pid,
        "state": WorkerState.GONE,
        "busy_seconds": stats.busy_seconds,
        "wait_seconds": stats.wait_seconds,
        "items": stats.items,
        "since": None,
        "attempt": 0,
        "outstanding": 0,
        "restarts": 0,
        "end": stats.end[:_MOST_NAME],
        "history": "",
    }


def _phase(engine: Engine) -> str:
    if engine.phase >= Phase.LAST or all(node.ended for node in engine.nodes):
        return "ending"
    if engine.is_idle:
        return "idle"
    return "draining" if engine.phase is Phase.DRAINING else "running"
