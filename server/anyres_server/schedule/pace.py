"""How fast each model has run so far, in seconds per multiply-add: the newest runs count most."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from anyres_server.model import Model

WEIGHT_OF_NEWEST = 0.2


class Pace:
    """Remembers a model's runs and predicts its next one."""

    def __init__(self) -> None:
        self._seconds_per_mac: WeakKeyDictionary[Model, float] = WeakKeyDictionary()

    def note(self, model: Model, macs: int, compute_s: float) -> None:
        """A run of so many multiply-adds took so long."""
        now = compute_s / max(1, macs)
        before = self._seconds_per_mac.get(model, now)
        self._seconds_per_mac[model] = before + WEIGHT_OF_NEWEST * (now - before)

    def seconds(self, model: Model, macs: int) -> float | None:
        """How long so many multiply-adds should take; None before the model's first run."""
        pace = self._seconds_per_mac.get(model)
        return None if pace is None else pace * macs
