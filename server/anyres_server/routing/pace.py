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
FORGOTTEN_AFTER = 256  # runs of one kind after which nobody knows any more what the other takes
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


@dataclass
class _Kinds:
    """What is known of a model's wide runs, of those among them for which others waited, and of its
    narrow ones while others ran beside them.
    """

    wide: _Fit | None = None
    contended: _Fit | None = None
    narrow: _Fit | None = None
    wide_since_narrow: int = 0
    narrow_since_contended: int = 0

    def of(self, *, wide: bool, contended: bool) -> _Fit | None:
        if not wide:
            return self.narrow
        return (contended and self.contended) or self.wide

    def note(self, macs: float, seconds: float, *, wide: bool, contended: bool) -> None:
        if wide:
            self.wide = _noted(self.wide, macs, seconds)
            self.wide_since_narrow += 1
        else:
            self.narrow = _noted(self.narrow, macs, seconds)
            self.wide_since_narrow = 0
            self.narrow_since_contended += 1
        if wide and contended:
            self.contended = _noted(self.contended, macs, seconds)
            self.narrow_since_contended = 0
        if self.wide_since_narrow >= FORGOTTEN_AFTER:
            self.narrow = None
        if self.narrow_since_contended >= FORGOTTEN_AFTER:
            self.contended = None


def _noted(fit: _Fit | None, macs: float, seconds: float) -> _Fit:
    fit = fit or _Fit()
    fit.note(macs, seconds)
    return fit


class Pace:
    """Remembers a model's runs and predicts its next one.

    Wide and narrow runs are two things, and wide ones for which others wait are a third: messages
    come and go meanwhile, and where they hold up one thread of a run, all others wait for it.

    What was found to be slower once is forgotten where only the other kind was made for long: what
    made it so may be over.
    """

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[Model, _Kinds] = WeakKeyDictionary()

    def note(
        self,
        model: Model,
        size: Size,
        images: int,
        compute_s: float,
        wide: bool,
        *,
        contended: bool = False,
    ) -> None:
        """A run of so many images of a size took so long.

        Args:
            model: whose network.
            size: of each image.
            images: that it was of.
            compute_s: that it took.
            wide: with all threads; or with one, while others ran beside it.
            contended: whether others waited for it.
        """
        kinds, macs = self._known.setdefault(model, _Kinds()), _macs(model, size, images)
        kinds.note(macs, max(compute_s, 1e-9), wide=wide, contended=contended)

    def seconds(
        self,
        model: Model,
        size: Size,
        images: int = 1,
        *,
        wide: bool = True,
        contended: bool = False,
    ) -> float | None:
        """How long such a run should take; None before the model's first one of its kind."""
        fit = self._known.get(model, _Kinds()).of(wide=wide, contended=contended)
        return None if fit is None else fit.predict(_macs(model, size, images))


def _macs(model: Model, size: Size, images: int) -> float:
    """A network that multiplies nothing still has pixels to move."""
    return float(images * (model.cost(size).macs or size[0] * size[1]))
