"""What a server says, as plain values: everything but the prediction itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from anyres_client.errors import InvalidRequest

Size: TypeAlias = tuple[int, int]  # height, width
Route: TypeAlias = Literal["whole", "tiled", "refused"]


def size_text(size: Size) -> str:
    """A size as people write it, width first: "451x300"."""
    return f"{size[1]}x{size[0]}"


DIGITS = 9  # of a side: more pixels than any picture has, and what a message takes


def size_of(text: str) -> Size:
    """A size that people wrote, width first: "451x300".

    Raises:
        InvalidRequest: it is none.
    """
    width, by, height = text.lower().partition("x")
    sides = [side for side in (height, width) if side.isdecimal() and len(side) <= DIGITS]
    if not by or len(sides) < 2 or not all(map(int, sides)):
        raise InvalidRequest(f"a size is WIDTHxHEIGHT in pixels, as 640x480; got {text!r}")
    return int(sides[0]), int(sides[1])


def percent(share: float) -> str:
    """A part of the whole as people read it; a trace is not nothing."""
    return "< 1 %" if share < 0.005 else f"{share * 100:.0f} %"


@dataclass(frozen=True)
class Timing:
    """Where the server's time went, in seconds.

    Args:
        decode_s: from the file's bytes to the network's input.
        queue_s: waiting for a turn.
        compute_s: in the network.
        reduce_s: from its output to what was asked for.
    """

    decode_s: float = 0.0
    queue_s: float = 0.0
    compute_s: float = 0.0
    reduce_s: float = 0.0

    @property
    def total_s(self) -> float:
        """All of it."""
        return self.decode_s + self.queue_s + self.compute_s + self.reduce_s


@dataclass(frozen=True)
class ModelSummary:
    """One model of the server.

    Args:
        name: what `model=` takes.
        versions: all that there are, the oldest first.
        ready: whether it can be asked.
        reason: why it is not ready, or why what lies in its folder now is not what is served.
        sizes: the heights and widths that it takes, in words.
        task: classification, segmentation, regression or unknown.
    """

    name: str
    versions: tuple[str, ...]
    ready: bool
    reason: str
    sizes: str
    task: str


@dataclass(frozen=True)
class Estimate:
    """What an image of some size would cost, and the route it would take.

    Args:
        route: whole, tiled or refused.
        pieces: how many tiles; 1 where it goes whole.
        grid_size: (height, width) of the answer, in cells.
        macs: multiply-adds of convolutions and matrix products, halos of tiles included.
        activation_bytes: predicted peak of activation memory of one piece.
        budget_bytes: what the server holds that against.
        compute_s: predicted seconds in the network; None before the model has run.
        reason: why it would be refused, where it would be.
        reserved_bytes: what would be reserved at once at most: pixels, class map, pieces.
        overhead: pixels that go through the network for each of the image: 1 in one piece, more
            in tiles, whose halos overlap.
    """

    route: Route
    pieces: int
    grid_size: Size
    macs: int
    activation_bytes: int
    budget_bytes: int
    compute_s: float | None
    reason: str
    reserved_bytes: int = 0
    overhead: float = 0.0


@dataclass(frozen=True)
class TopK:
    """The k most likely classes of every cell, best first.

    Args:
        classes: uint16 (k, h, w).
        scores: their probabilities, float32 (k, h, w), 0..1.
    """

    classes: NDArray[np.uint16]
    scores: NDArray[np.float32]


@dataclass(frozen=True)
class Share:
    """The part of all cells, 0..1, whose most likely class this is.

    Args:
        index: the class.
        name: its name.
        share: the part, above 0.
    """

    index: int
    name: str
    share: float
