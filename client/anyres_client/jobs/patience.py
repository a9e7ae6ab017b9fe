"""When to ask again, by what went wrong.

error               asked again
Unavailable         until `patience_s` have passed without any answer: a server restarts
Overloaded          `attempts` times, later and later
DeadlineExceeded    as often
ServerFailed        once: it may have been the moment
any other           never: the same request fails again
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import TypeVar

from anyres_client.errors import (
    ClientError,
    DeadlineExceeded,
    Overloaded,
    ServerFailed,
    Unavailable,
)

FIRST_WAIT_S = 0.25
LONGEST_WAIT_S = 30.0

T = TypeVar("T")


@dataclass
class Patience:
    """How long a job waits for its server; shared by all that asks."""

    attempts: int = 5
    patience_s: float = 300.0
    _answered_at: float = field(default_factory=monotonic)

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
                self._answered_at = monotonic()
                return answer
            await asyncio.sleep(_wait_s(tried))

    def _again(self, error: ClientError, tried: int) -> bool:
        if isinstance(error, Unavailable):
            return monotonic() - self._answered_at < self.patience_s
        self._answered_at = monotonic()
        if isinstance(error, Overloaded | DeadlineExceeded):
            return tried < self.attempts
        return isinstance(error, ServerFailed) and tried < 2


def _wait_s(tried: int) -> float:
    """Twice as long each time, and not all at once ("full jitter")."""
    longest: float = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2**tried)
    return random.uniform(0, longest)
