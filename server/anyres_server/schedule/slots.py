"""The processors as slots: who has how many, until when, and how busy all were in between."""

from __future__ import annotations

from dataclasses import dataclass, field

LATE_S = 0.001  # that a run which should be over is taken to need yet
LEAD_S = 0.01  # before a run should be over, in which the next is handed over; at most
LEAD = 0.1  # the same, of how long it should take
ABREAST = 0.9  # of the processors, at work on average while a narrow run had others beside it


@dataclass(eq=False)
class Lease:
    """The slots of one run, all of them or one, from when it should begin."""

    wide: bool
    slots: int
    began: float
    predicted_s: float | None
    busy_before: float
    contended: bool = False  # whether others waited when it was chosen

    def left_s(self, now: float) -> float:
        """Until it should be over; below 0 where it is late, or nobody knows."""
        return self.began + (self.predicted_s or 0.0) - now

    @property
    def nearly_over(self) -> float | None:
        """From when on the next run may stand by; None where nobody knows how long this takes."""
        if self.predicted_s is None:
            return None
        return self.began + self.predicted_s - min(LEAD_S, LEAD * self.predicted_s)


@dataclass
class Slots:
    """Takes and gives back slots, at moments of one clock, in seconds.

    One run may stand by: it has its slots before those have given them back who have them now.
    """

    processors: int
    _leases: list[Lease] = field(default_factory=list)
    _busy_s: float = 0.0  # processor-seconds until the last change
    _changed: float = 0.0

    @property
    def free(self) -> int:
        """How many nobody has; below 0 while a run stands by."""
        return self.processors - sum(lease.slots for lease in self._leases)

    def take(
        self, *, wide: bool, now: float, predicted_s: float | None, contended: bool = False
    ) -> Lease:
        """Have all of them, or one, as soon as they are free."""
        slots = self.processors if wide else 1
        begins = now + sorted(self.free_after(now))[slots - 1]
        lease = Lease(wide, slots, begins, predicted_s, self._busy(now), contended)
        self._leases.append(lease)
        return lease

    def soon_free(self, slots: int, now: float) -> bool:
        """Whether a run of so many may be handed over: they are free, or nearly so."""
        if self.free < 0:
            return False
        moments = [lease.nearly_over for lease in self._leases for _ in range(lease.slots)]
        nearly = sum(moment is not None and moment <= now for moment in moments)
        return self.free + nearly >= slots

    def next_look(self, now: float) -> float | None:
        """When slots come nearly free that are not; None where nobody knows."""
        moments = (lease.nearly_over for lease in self._leases)
        return min((each for each in moments if each is not None and each > now), default=None)

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

    def free_in_turn(self, now: float) -> list[float]:
        """Seconds until each slot should be free, from when the first of them is."""
        after = self.free_after(now)
        return [each - min(after) for each in after]

    def drained_s(self, now: float) -> float:
        """Until all that is under way should be done."""
        return max([0.0, *(lease.left_s(now) for lease in self._leases)])

    def _busy(self, now: float) -> float:
        """Processor-seconds of all runs until now; to be asked before a change."""
        busy = self.processors - max(0, self.free)
        self._busy_s += busy * (now - self._changed)
        self._changed = now
        return self._busy_s
