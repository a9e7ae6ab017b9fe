"""Whether pieces of one shape gain from going through a network together, as measured.

On a processor large images gain nothing from company and wait for it in vain; small ones may, since
a run has costs of its own. Nobody knows where the border is on this machine for this network, so
all ways are timed, in seconds an image: alone with all processors, alone with one of them while the
others do the same, and in company. What was seen in company only runs alone next: where there is
always company it would never be known what it is worth.

A run can be held up and not be sped up, so a faster one is believed at once and a slower one by and
by: the first run of a shape has its memory still to fault in.
"""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

from anyres_server.model import Model, Size

NEWEST = 0.2  # the weight of a run that took longer
WORTH = 0.95  # seconds an image in company, of those alone, from which on it pays
FIRST = 3  # runs of a shape before which it waits for company, to find out
AGAIN = 64  # runs after which what did not pay is tried again: other models may have left


@dataclass
class _Seen:
    wide_s: float | None = None
    narrow_s: float | None = None
    together_s: float | None = None
    runs: int = 0

    @property
    def alone_s(self) -> float | None:
        return min((s for s in (self.wide_s, self.narrow_s) if s is not None), default=None)


class Benefit:
    """Remembers all ways of every shape."""

    def __init__(self) -> None:
        self._seen: WeakKeyDictionary[Model, dict[Size, _Seen]] = WeakKeyDictionary()

    def note(self, model: Model, size: Size, images: int, compute_s: float, beside: int) -> None:
        """A run of so many images took so long, while `beside` in all were under way like it."""
        seen = self._seen.setdefault(model, {}).setdefault(size, _Seen())
        seen.runs += 1
        each = compute_s / images / beside
        if images > 1:
            seen.together_s = _newer(seen.together_s, each)
        elif beside > 1:
            seen.narrow_s = _newer(seen.narrow_s, each)
        else:
            seen.wide_s = _newer(seen.wide_s, each)

    def pays(self, model: Model, size: Size) -> bool | None:
        """Whether company pays; None where that is not known and is worth a try."""
        seen = self._seen.get(model, {}).get(size, _Seen())
        if seen.together_s is None:
            return None
        if seen.alone_s is None:
            return False
        if seen.together_s <= WORTH * seen.alone_s:
            return True
        return None if seen.runs % AGAIN == 0 else False

    def worth_waiting(self, model: Model, size: Size) -> bool:
        """Whether a piece should wait for company."""
        pays = self.pays(model, size)
        seen = self._seen.get(model, {}).get(size, _Seen())
        return pays is True or (pays is None and seen.runs < FIRST)


def _newer(before: float | None, now: float) -> float:
    if before is None or now < before:
        return now
    return before + NEWEST * (now - before)
