"""What waits for the engine, in buckets of exact model, shape and outputs, by age.

A piece joins others where company pays or may pay (`benefit`). Only where it is known to pay does a
batch wait for more: until it is full, or its oldest piece has waited `max_queue_delay_s`. A large
piece gains nothing: two that exceed `max_batch_pixels` never meet. Pieces whose callers have gone
are dropped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar

from anyres_server.model import Array, Model, Size
from anyres_server.schedule.benefit import Benefit

T = TypeVar("T")


@dataclass(frozen=True)
class BatchPolicy:
    """How long to wait for company, and how much of it; a model's own settings go first."""

    max_batch_size: int = 8  # images
    max_batch_pixels: int = 2**20
    max_queue_delay_s: float = 0.002

    def of(self, model: Model) -> BatchPolicy:
        """The policy of one model."""
        own, delay_s = model.settings, model.settings.max_queue_delay_s
        return BatchPolicy(
            own.max_batch_size or self.max_batch_size,
            own.max_batch_pixels or self.max_batch_pixels,
            self.max_queue_delay_s if delay_s is None else delay_s,
        )


@dataclass(frozen=True, eq=False)
class Piece(Generic[T]):
    """What goes into a network and what is made of what comes out, in the thread that runs it.

    Attributes:
        shape: of the images, the batch axis first.
        cut: the images, as the network takes them; asked for when its turn has nearly come.
        make: given the outputs in the order asked, once others may run.
    """

    shape: tuple[int, ...]
    cut: Callable[[], Array]
    make: Callable[[tuple[Array, ...]], T]


@dataclass(frozen=True, eq=False)
class Ran(Generic[T]):
    """What was made of a piece, and how long the run that it was part of took."""

    made: T
    compute_s: float
    batch_size: int  # images in that run, its own included


@dataclass(frozen=True, eq=False)
class Entry:
    """One piece, and who waits for it."""

    model: Model
    piece: Piece[Any]
    outputs: tuple[str, ...]
    size: Size
    reserved_bytes: int
    came_at: float
    reply: asyncio.Future[Ran[Any]] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    @property
    def rows(self) -> int:
        """How many images it is."""
        return self.piece.shape[0]

    @property
    def pixels(self) -> int:
        """Of all of them."""
        return self.rows * self.size[0] * self.size[1]

    def can_join(self, other: Entry) -> bool:
        """Whether both fit into one array for one network, and want the same of it."""
        alike = self.piece.shape[1:] == other.piece.shape[1:] and self.outputs == other.outputs
        return self.model is other.model and self.model.network.batches and alike

    def answer(self, outcome: Ran[Any] | Exception) -> None:
        """Tell whoever waits, from any thread."""
        self.reply.get_loop().call_soon_threadsafe(_settle, self.reply, outcome)


def _settle(reply: asyncio.Future[Ran[Any]], outcome: Ran[Any] | Exception) -> None:
    if reply.done():
        return
    if isinstance(outcome, Exception):
        reply.set_exception(outcome)
    else:
        reply.set_result(outcome)


Batch: TypeAlias = list[Entry]


class Queue:
    """Keeps entries until a batch of them is taken."""

    def __init__(self, policy: BatchPolicy, benefit: Benefit) -> None:
        self._policy = policy
        self._benefit = benefit
        self._entries: Batch = []

    def add(self, entry: Entry) -> None:
        """One more waits."""
        self._entries.append(entry)

    def waiting(self) -> Batch:
        """Everyone whose caller is still there, the oldest first."""
        self._entries = [entry for entry in self._entries if not entry.reply.done()]
        return self._entries

    def take(self, batch: Batch) -> None:
        """These wait no more."""
        self._entries = [entry for entry in self._entries if entry not in batch]

    def ready(self, now: float) -> list[Batch]:
        """The batches that may start, by the age of their oldest entries."""
        return [batch for batch in self._batches() if self._due(batch) <= now]

    def next_due(self) -> float | None:
        """When the next batch may start though nobody comes any more; None where none waits."""
        return min((self._due(batch) for batch in self._batches()), default=None)

    def _batches(self) -> list[Batch]:
        batches: list[Batch] = []
        for entry in self.waiting():
            for batch in batches:
                if entry.can_join(batch[0]) and self._may_join(entry, batch):
                    batch.append(entry)
                    break
            else:
                batches.append([entry])
        return batches

    def _may_join(self, entry: Entry, batch: Batch) -> bool:
        pays = self._benefit.pays(entry.model, entry.size)
        return pays is not False and self._fits([*batch, entry])

    def _fits(self, batch: Batch) -> bool:
        policy = self._policy.of(batch[0].model)
        rows = sum(entry.rows for entry in batch)
        pixels = sum(entry.pixels for entry in batch)
        return rows <= policy.max_batch_size and pixels <= policy.max_batch_pixels

    def _due(self, batch: Batch) -> float:
        """At once, but where company is worth a wait and there is room for one more."""
        oldest = batch[0]
        waits = self._benefit.worth_waiting(oldest.model, oldest.size)
        if not waits or not oldest.model.network.batches or not self._fits([*batch, oldest]):
            return oldest.came_at
        return oldest.came_at + self._policy.of(oldest.model).max_queue_delay_s
