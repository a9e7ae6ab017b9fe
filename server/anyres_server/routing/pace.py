"""How fast each model runs on this machine: seconds = a + b * macs, fitted to what has been run.

`a` is what a run costs whatever the size (dispatch, threads that wake), `b` the machine's pace for
this network. Runs count by their relative error, so that a small image is predicted as well as a
large one, and old runs count less and less:

    minimise  sum of 0.98^age * ((a + b * macs - seconds) / seconds)^2,   a >= 0, b > 0

Worked: runs of 1 and 3 giga-macs that took 2 and 4 seconds give a = 1, b = 1: 5 take 6 seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

from anyres_server.model import Model, Size

KEPT = 0.98  # of a run's weight, after each further one
ALIKE = 1e-3  # relative spread of macs below which only the pace can be told, not the start


@dataclass
class _Fit:
    """The weighted sums that the two coefficients follow from."""

    ones: float = 0.0
    macs: float = 0.0
    squares: float = 0.0
    seconds: float = 0.0
    products: float = 0.0

    def note(self, macs: float, seconds: float) -> None:
        weight = 1 / seconds**2
        self.ones = KEPT * self.ones + weight
        self.macs = KEPT * self.macs + weight * macs
        self.squares = KEPT * self.squares + weight * macs**2
        self.seconds = KEPT * self.seconds + weight * seconds
        self.products = KEPT * self.products + weight * seconds * macs

    def predict(self, macs: float) -> float:
        spread = self.ones * self.squares - self.macs**2
        proportional = self.products / self.squares * macs
        if spread <= ALIKE * self.macs**2:
            return proportional
        start = (self.squares * self.seconds - self.macs * self.products) / spread
        pace = (self.ones * self.products - self.macs * self.seconds) / spread
        if start < 0:
            return proportional
        return start + pace * macs if pace > 0 else self.seconds / self.ones


class Pace:
    """Remembers a model's runs and predicts its next one; wide and narrow runs are two things."""

    def __init__(self) -> None:
        self._fits: WeakKeyDictionary[Model, dict[bool, _Fit]] = WeakKeyDictionary()

    def note(self, model: Model, size: Size, images: int, compute_s: float, wide: bool) -> None:
        """A run of so many images of a size took so long."""
        fit = self._fits.setdefault(model, {}).setdefault(wide, _Fit())
        fit.note(_macs(model, size, images), max(compute_s, 1e-9))

    def seconds(
        self, model: Model, size: Size, images: int = 1, *, wide: bool = True
    ) -> float | None:
        """How long such a run should take; None before the model's first one of its kind."""
        fit = self._fits.get(model, {}).get(wide)
        return None if fit is None else fit.predict(_macs(model, size, images))


def _macs(model: Model, size: Size, images: int) -> float:
    """A network that multiplies nothing still has pixels to move."""
    return float(images * (model.cost(size).macs or size[0] * size[1]))
