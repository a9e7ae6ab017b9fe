"""What happens to a request, as values: whoever counts, logs or traces is told them, one by one.

Answered    a request got its answer
Refused     a request got an error instead
Left        whoever asked went away before
Ran         a network ran once, for one piece or for several together
Ended       a call is over, whatever it was: a stream is one call and many requests
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from anyres_proto.status import Problem
from anyres_server.model import Model, Plan, Size, Timing


@dataclass(frozen=True, eq=False)
class Answered:
    """A request got its answer."""

    call: str  # the wire's name: "Predict", "ModelInfer"
    plan: Plan
    images: int
    computed_pixels: int  # what went into the network, halos of tiles included
    timing: Timing  # tiles side by side add up to more than it took
    took_s: float


@dataclass(frozen=True, eq=False)
class Refused:
    """A request got an error instead."""

    call: str
    model: str  # as the caller named it; "" where the call names none
    problem: Problem
    reason: str  # the error's name, one of few: "TooLarge"
    took_s: float


@dataclass(frozen=True, eq=False)
class Left:
    """Whoever asked went away before the answer, or its time was over."""

    call: str
    model: str
    took_s: float


@dataclass(frozen=True, eq=False)
class Ran:
    """A network ran once."""

    model: Model
    size: Size  # of each image
    images: int
    threads: int
    reserved_bytes: int
    predicted_s: float | None  # None before the model's first run
    compute_s: float


@dataclass(frozen=True, eq=False)
class Ended:
    """A call is over."""

    call: str
    code: str  # the status code's name: "OK"
    took_s: float


Event: TypeAlias = Answered | Refused | Left | Ran | Ended
Tell: TypeAlias = Callable[[Event], None]


def telling(observers: Sequence[Tell]) -> Tell:
    """Tell them all, in order."""

    def tell(event: Event) -> None:
        for observer in observers:
            observer(event)

    return tell
