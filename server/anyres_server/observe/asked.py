"""Which request the code that runs now works for: logs, spans and events are told it from here.

The value is a context variable: a task that a call starts, and a thread that it sends work to by
`asyncio.to_thread`, know it too. In a stream each message is a request of its own.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from time import monotonic

from opentelemetry.trace import Tracer

from anyres_server.observe.events import Tell


@dataclass(frozen=True, eq=False)
class Asked:
    """One request."""

    call: str  # the wire's name of the call: "Predict"
    id: str  # the caller's, or one of ours
    tell: Tell
    tracer: Tracer
    caller: str = ""  # the name of its token
    model: str = ""  # as the caller named it
    due: float | None = None  # by the monotonic clock: an answer after that is for nobody
    began: float = field(default_factory=monotonic)

    @property
    def took_s(self) -> float:
        """Seconds so far."""
        return monotonic() - self.began


_ASKED: ContextVar[Asked | None] = ContextVar("asked", default=None)


def asked() -> Asked | None:
    """The request that is worked for; None outside of any call."""
    return _ASKED.get()


def begin(request: Asked) -> None:
    """From here on this task works for a request."""
    _ASKED.set(request)


def known_by(caller: str) -> None:
    """Whose request it is has turned out."""
    request = _ASKED.get()
    if request is not None:
        _ASKED.set(replace(request, caller=caller))


def due_within(seconds: float) -> None:
    """The caller has no use for an answer that takes longer."""
    request = _ASKED.get()
    if request is not None:
        until = monotonic() + seconds
        _ASKED.set(replace(request, due=until if request.due is None else min(request.due, until)))


def next_message(model: str) -> None:
    """A message has come: what it asks begins now."""
    request = _ASKED.get()
    if request is not None:
        _ASKED.set(replace(request, model=model or request.model, began=monotonic()))
