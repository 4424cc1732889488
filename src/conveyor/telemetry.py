"""Traces by OpenTelemetry: spans for put, get and stages, and the context of a trace that travels with an item.

    pip install 'conveyor[otel]'

    import conveyor.telemetry
    conveyor.telemetry.enable()

From then on each `put`, `get` and `lease` of this process that moves an item is a span, and so is each call of a
stage's function. What is put carries the context of its span (W3C's `traceparent`): through shared memory, and on every
broker, as a parameter of the message's content type. A `get` has a link to the span that put its item, and
`item_context()` is the context to go on in. A consumer that knows nothing of traces receives the same items. Before
`enable`, and after `disable`, all of this costs nothing: the methods are replaced, not asked.

Names and attributes follow OpenTelemetry's semantic conventions for messaging
(https://opentelemetry.io/docs/specs/semconv/messaging/).
"""

from __future__ import annotations

import functools
import inspect
import threading
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ._carried import Carried, listening
from .pipeline.graph import stage as _stage
from .pipeline.worker.functions import is_worker_class
from .pipeline.worker.identity import call_takes_worker, call_with
from .pipeline.worker.worker_queue import WorkerQueue
from .queues.queue import Queue
from .transports.base import BrokerQueue

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Tracer, TracerProvider

__all__ = ["disable", "enable", "is_enabled", "item_context"]

_PUTS = ("put", "put_nowait", "put_many")
_GETS = ("get", "get_nowait", "get_many", "lease", "lease_many")
# Codecs that carry any object; others take the words only on a broker, which has room for them beside the item.
_ANY_OBJECT = ("auto", "pickle")


class _Thread(threading.local):
    inside = False
    """A method is at work that another one of these has called."""
    context: Any = None
    """Of the item that this thread received last."""


_thread = _Thread()
_originals: list[tuple[type, str, Any]] = []


def enable(
    tracer_provider: TracerProvider | None = None, *, configure: Callable[[], object] | None = None
) -> None:
    """Make spans from now on, in this process and in the workers of pipelines that are started from now on.

    Args:
        tracer_provider: who makes the tracer; None: the global one.
        configure: is called once in each worker process, to set up its global provider; None: a forked worker has its
        parent's,
            others have what the environment sets up. It must be picklable.

    Raises:
        ImportError: OpenTelemetry's API is not installed; the text says what to type.
        RuntimeError: it is enabled already.
    """
    try:
        from opentelemetry import trace
    except ImportError as error:
        raise ImportError(
            "traces need OpenTelemetry, not installed here: pip install 'conveyor[otel]'"
        ) from error
    if _originals:
        raise RuntimeError("conveyor.telemetry is enabled already; disable() it first")
    tracer = _tracer(trace, tracer_provider)
    for kind in (Queue, BrokerQueue):
        for name in _PUTS:
            _replace(kind, name, functools.partial(_put, tracer, name == "put_many"))
        for name in _GETS:
            _replace(kind, name, functools.partial(_get, tracer))
    _stage.instrument = functools.partial(_TracedStage, configure=configure)


def disable() -> None:
    """Undo `enable`; idempotent."""
    while _originals:
        kind, name, original = _originals.pop()
        if original is None:
            delattr(kind, name)
        else:
            setattr(kind, name, original)
    _stage.instrument = None


def is_enabled() -> bool:
    """Whether spans are made."""
    return bool(_originals)


def item_context() -> Context | None:
    """The context of the span that put the item which this thread received last; None: it came without one.

    item = queue.get()
    with tracer.start_as_current_span("work", context=conveyor.telemetry.item_context()):
        work(item)
    """
    found: Context | None = _thread.context
    return found


def _tracer(trace: Any, provider: Any = None) -> Tracer:
    found: Tracer = trace.get_tracer("conveyor", tracer_provider=provider)
    return found


def _replace(kind: type, name: str, wrap: Callable[[Any, Any, Any, Any], Any]) -> None:
    original = getattr(kind, name)
    _originals.append((kind, name, vars(kind).get(name)))

    @functools.wraps(original)
    def traced(self: Any, *args: Any, **kwargs: Any) -> Any:
        if _thread.inside or isinstance(self, WorkerQueue):
            return original(self, *args, **kwargs)
        with _inside():
            return wrap(original, self, args, kwargs)

    setattr(kind, name, traced)


@contextmanager
def _inside() -> Generator[None]:
    _thread.inside = True
    try:
        yield
    finally:
        _thread.inside = False


def _destination(queue: Any) -> str:
    """What to call a queue: of a name that is not made up for each run, where there is one."""
    if isinstance(queue, BrokerQueue):
        return str(queue._shown)  # pyright: ignore[reportPrivateUsage]
    segment = queue._segment
    return f"shm://{segment.name}" if segment.name else segment.label or "anonymous"


def _attributes(queue: Any, operation: str, count: int | None) -> dict[str, Any]:
    destination = _destination(queue)
    found: dict[str, Any] = {
        "messaging.system": "conveyor",
        "messaging.destination.name": destination,
        "messaging.operation.name": operation,
        "messaging.operation.type": "send" if operation == "put" else "receive",
    }
    if destination == "anonymous":
        found["messaging.destination.anonymous"] = True
    if count is not None:
        found["messaging.batch.message_count"] = count
    return found


def _carries(queue: Any) -> bool:
    return isinstance(queue, BrokerQueue) or queue._codec in _ANY_OBJECT


def _put(tracer: Tracer, many: bool, original: Any, queue: Any, args: Any, kwargs: Any) -> Any:
    from opentelemetry import propagate
    from opentelemetry.trace import SpanKind

    if not args:  # by name
        name = "items" if many else "obj"
        if name not in kwargs:
            return original(queue, *args, **kwargs)  # which says what is missing
        first = kwargs.pop(name)
    else:
        first, args = args[0], args[1:]
    items: list[Any] = list(_checked(first)) if many else [first]
    attributes = _attributes(queue, "put", len(items) if many else None)
    name = f"put {attributes['messaging.destination.name']}"
    with tracer.start_as_current_span(name, kind=SpanKind.PRODUCER, attributes=attributes):
        words: dict[str, str] = {}
        if _carries(queue):
            propagate.inject(words)
        if words:
            items = [Carried(item, words) for item in items]
        return original(queue, items if many else items[0], *args, **kwargs)


def _checked(items: Iterable[Any]) -> Iterable[Any]:
    if not isinstance(items, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"items is {items!r}; it must be an iterable of items")
    return items


def _get(tracer: Tracer, original: Any, queue: Any, args: Any, kwargs: Any) -> Any:
    from opentelemetry import propagate, trace
    from opentelemetry.trace import Link, SpanKind

    began = time.time_ns()
    with listening() as heard:
        given = original(queue, *args, **kwargs)  # a look that found nothing raises, and is no span
    contexts = [propagate.extract(words) for words in heard]
    _thread.context = contexts[-1] if contexts else None
    spans = (trace.get_current_span(context).get_span_context() for context in contexts)
    links = [Link(span) for span in spans if span.is_valid]
    count = None if original.__name__ in ("get", "get_nowait", "lease") else len(given)
    attributes = _attributes(queue, "get", count)
    name = f"get {attributes['messaging.destination.name']}"
    tracer.start_span(
        name, kind=SpanKind.CONSUMER, attributes=attributes, links=links, start_time=began
    ).end()
    return given


class _TracedStage:
    """A stage's function, each call of which is a span; in the trace in which the run was started.

    Args:
        stage: whose function it is.
        function: it, or the copy that a worker has.
        configure: see `enable`.
    """

    def __init__(self, stage: _stage.Stage, function: Any, configure: Callable[[], object] | None) -> None:
        from opentelemetry import propagate

        self._function, self._configure = function, configure
        self._name, self._kind = stage.name, stage.kind
        self._words: dict[str, str] = {}
        propagate.inject(self._words)
        self._asynchronous = stage.where == "coroutines"
        self._worker: Any = None
        self._called, self._arguments = function, stage.arguments

    def setup(self, worker: Any) -> Any:
        """In the worker."""
        self._worker = worker
        global _configured
        if self._configure is not None and not _configured:
            _configured = True
            self._configure()
        if is_worker_class(self._function):
            self._function = self._function()
        asks = call_takes_worker(self._function, self._arguments)
        self._called = functools.partial(self._function, worker=worker) if asks else self._function
        return self._call_if_there("setup")

    def teardown(self) -> Any:
        """In the worker: what it has told so far is on its way when this returns."""
        from opentelemetry import trace

        try:
            return self._call_if_there("teardown")
        finally:
            flush = getattr(trace.get_tracer_provider(), "force_flush", None)
            if flush is not None:
                flush()

    def _call_if_there(self, name: str) -> Any:
        method = getattr(self._function, name, None)
        if callable(method) and not isinstance(self._function, type):
            return call_with(self._worker, method)
        return None

    def _span(self) -> Any:
        from opentelemetry import propagate, trace

        tracer = _tracer(trace)
        parent = propagate.extract(self._words) if self._words else None
        return tracer.start_as_current_span(
            f"stage {self._name}", context=parent, attributes={"conveyor.stage": self._name}
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._asynchronous:
            return self._awaited(*args, **kwargs)
        with self._span():
            given: Any = self._called(*args, **kwargs)
            if self._kind == "flat_map" and inspect.isgenerator(given):
                given = [*given]  # within the span
            return given

    async def _awaited(self, *args: Any, **kwargs: Any) -> Any:
        with self._span():
            given = self._called(*args, **kwargs)
            return await given if inspect.isawaitable(given) else given


_configured = False
