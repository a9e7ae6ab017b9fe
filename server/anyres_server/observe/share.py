"""How many of the requests are traced, which may change while the server runs."""

from __future__ import annotations


class Share:
    """The traced share of requests, 0 to 1."""

    def __init__(self, usual: float) -> None:
        self.usual = usual  # as the settings say
        self.value = usual
        self.on = True

    @property
    def now(self) -> float:
        """What holds for the next request."""
        return self.value if self.on else 0.0
