"""The processors as slots: who has how many, until when, and how busy all were in between."""

from __future__ import annotations

from dataclasses import dataclass, field

LATE_S = 0.001  # that a run which should be over is taken to need yet
ABREAST = 0.9  # of the processors, at work on average while a narrow run had others beside it


@dataclass(eq=False)
class Lease:
    """The slots of one run: all of them, or one."""

    wide: bool
    slots: int
    began: float
    predicted_s: float | None
    busy_before: float

    def left_s(self, now: float) -> float:
        """Until it should be over; below 0 where it is late, or nobody knows."""
        return self.began + (self.predicted_s or 0.0) - now


@dataclass
class Slots:
    """Takes and gives back slots, at moments of one clock, in seconds."""

    processors: int
    _leases: list[Lease] = field(default_factory=list)
    _busy_s: float = 0.0  # processor-seconds until the last change
    _changed: float = 0.0

    @property
    def free(self) -> int:
        """How many nobody has."""
        return self.processors - sum(lease.slots for lease in self._leases)

    def take(self, *, wide: bool, now: float, predicted_s: float | None) -> Lease:
        """Have all of them, or one that is free."""
        lease = Lease(wide, self.processors if wide else 1, now, predicted_s, self._busy(now))
        self._leases.append(lease)
        return lease

    def give_back(self, lease: Lease, now: float) -> None:
        """The run is over."""
        self._busy(now)
        self._leases.remove(lease)

    def abreast(self, lease: Lease, now: float) -> bool:
        """Whether nearly all processors were at work while this run went on."""
        lasted_s = now - lease.began
        return self._busy(now) - lease.busy_before >= ABREAST * self.processors * lasted_s

    def free_after(self, now: float) -> list[float]:
        """Seconds until each slot should be free; 0 for one that is."""
        taken = [
            max(lease.left_s(now), LATE_S) for lease in self._leases for _ in range(lease.slots)
        ]
        return [0.0] * self.free + taken

    def drained_s(self, now: float) -> float:
        """Until all that is under way should be done."""
        return max([0.0, *(lease.left_s(now) for lease in self._leases)])

    def _busy(self, now: float) -> float:
        """Processor-seconds of all runs until now; to be asked before a change."""
        self._busy_s += (self.processors - self.free) * (now - self._changed)
        self._changed = now
        return self._busy_s
