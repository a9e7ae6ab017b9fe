"""How fast callers may ask: a bucket that fills by so much a second, and is emptied by asking.

A request is paid before it runs. Its pixels are known only after its image was opened, so they are
paid afterwards: the bucket may be in debt, and while it is, nothing is let in.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from anyres_server.errors import TooFast

BURST_S = 1.0  # what a second brings may be asked at once


class Rate:
    """So much a second; None: as much as you like."""

    def __init__(
        self, per_s: float | None, what: str, clock: Callable[[], float] = monotonic
    ) -> None:
        self._per_s = per_s
        self._what = what
        self._clock = clock
        self._most = 0.0 if per_s is None else max(1.0, per_s * BURST_S)
        self._has = self._most
        self._seen = clock()

    def wait_s(self, amount: float) -> float:
        """Seconds until so much could be taken; 0 where it can be now."""
        if self._per_s is None:
            return 0.0
        now = self._clock()
        self._has = min(self._most, self._has + (now - self._seen) * self._per_s)
        self._seen = now
        return max(0.0, (amount - self._has) / self._per_s)

    def check(self, amount: float, whose: str) -> None:
        """Raise where so much cannot be taken now.

        Raises:
            TooFast: it cannot; says when.
        """
        if (wait_s := self.wait_s(amount)) > 0:
            raise TooFast(
                f"{whose} may ask for {self._per_s:g} {self._what} a second; "
                f"try again in {wait_s:.2g} s",
                wait_s,
            )

    def take(self, amount: float) -> None:
        """Pay, into debt if need be."""
        self.wait_s(amount)  # what came in meanwhile is counted first
        self._has -= amount


class Pace:
    """How fast one caller, or all of them, may ask."""

    def __init__(
        self, whose: str, requests_per_s: float | None, megapixels_per_s: float | None
    ) -> None:
        self._whose = whose
        self._requests = Rate(requests_per_s, "requests")
        self._megapixels = Rate(megapixels_per_s, "megapixels")

    def wait_s(self) -> float:
        """Seconds until one more request can be taken."""
        return max(self._requests.wait_s(1), self._megapixels.wait_s(0))

    def check(self) -> None:
        """Raise where one more request cannot be taken now.

        Raises:
            TooFast: it cannot; says when.
        """
        self._requests.check(1, self._whose)
        self._megapixels.check(0, self._whose)

    def count(self) -> None:
        """One request more."""
        self._requests.take(1)

    def charge(self, pixels: int) -> None:
        """An answered request had so many."""
        self._megapixels.take(pixels / 1e6)
