"""When to ask again, by what went wrong.

error               asked again
Unavailable         until `patience_s` have passed without any answer: a server restarts
ModelNotReady       as long: it loads its models
Overloaded          `attempts` times, later and later
DeadlineExceeded    as often
ServerFailed        once: it may have been the moment
any other           never: the same request fails again

A server that nobody has met is not waited for, unless it says itself that it is about to serve.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import TypeVar

from anyres_client.errors import (
    ClientError,
    DeadlineExceeded,
    ModelNotReady,
    NotServing,
    Overloaded,
    ServerFailed,
    Unavailable,
)

FIRST_WAIT_S = 0.25
LONGEST_WAIT_S = 30.0

T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass
class Patience:
    """How long a job waits for its server; shared by all that asks."""

    attempts: int = 5
    patience_s: float = 300.0
    met: bool = True  # whether the server has answered before
    _answered_at: float = field(default_factory=monotonic)
    _waiting: bool = False

    async def ask(self, call: Callable[[], Awaitable[T]]) -> T:
        """The answer, as soon as there is one.

        Raises:
            ClientError: the last of as many errors as it was patient with.
        """
        tried = 0
        while True:
            try:
                answer = await call()
            except ClientError as error:
                tried += 1
                if not self._again(error, tried):
                    raise
            else:
                self._answered()
                return answer
            await asyncio.sleep(_wait_s(tried))

    def _again(self, error: ClientError, tried: int) -> bool:
        if isinstance(error, Unavailable | ModelNotReady):
            return self._wait(error)
        self._answered()
        if isinstance(error, Overloaded | DeadlineExceeded):
            return tried < self.attempts
        return isinstance(error, ServerFailed) and tried < 2

    def _wait(self, error: ClientError) -> bool:
        """Whether to wait on, which is told where it begins."""
        if not self.met and not isinstance(error, NotServing | ModelNotReady):
            return False
        if monotonic() - self._answered_at >= self.patience_s:
            return False
        if not self._waiting:
            log.warning("%s; asking again, for %g s at most", error, self.patience_s)
        self._waiting = True
        return True

    def _answered(self) -> None:
        self._answered_at, self._waiting, self.met = monotonic(), False, True


def _wait_s(tried: int) -> float:
    """Twice as long each time, and not all at once ("full jitter")."""
    longest: float = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2**tried)
    return random.uniform(0, longest)
