"""What the server speaks of inside: models, requests and predictions, all frozen values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from threading import Lock
from typing import Any, BinaryIO, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from anyres_analyzer import Cost
from anyres_analyzer.errors import Inadmissible
from anyres_proto.card import AxisContract, Card, Tiling
from anyres_server.errors import InvalidRequest
from anyres_server.settings.per_model import ModelSettings

Array: TypeAlias = NDArray[Any]
Floats: TypeAlias = NDArray[np.float32]
Size: TypeAlias = tuple[int, int]  # height, width
CostFunction: TypeAlias = Callable[[int, int, int], Cost]  # of height, width, batch
Asked: TypeAlias = "OutputKind | str"  # str: one of the graph's outputs by its name, as it is


class OutputKind(Enum):
    """What can be said about each cell of the output grid; the names are the wire's."""

    CLASS_MAP = "class map"
    CONFIDENCE = "confidence"
    TOP_K_CLASSES = "top-k classes"
    TOP_K_SCORES = "top-k scores"
    PROBABILITIES = "probabilities"
    LOGITS = "logits"
    MASK_PNG = "mask as PNG"
    THRESHOLD_MASK = "threshold mask"
    PROBABILITIES_255 = "probabilities in 255ths"


class RouteKind(Enum):
    """How an image goes through the network; the names are the wire's."""

    WHOLE = "whole"
    TILED = "tiled"
    REFUSED = "refused"


class Stop:
    """Tells what runs in another thread that nobody waits for it any more."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._said = False
        self._listener: Callable[[], None] | None = None

    @property
    def said(self) -> bool:
        """Whether it has been told."""
        return self._said

    def say(self) -> None:
        """Tell it, once."""
        with self._lock:
            self._said = True
            if self._listener is not None:
                self._listener()

    @contextmanager
    def heard_by(self, listener: Callable[[], None]) -> Iterator[None]:
        """While the block runs, `listener` is called when it is told: at once, if it has been."""
        with self._lock:
            self._listener = listener
            if self._said:
                listener()
        try:
            yield
        finally:
            with self._lock:
                self._listener = None


@dataclass(frozen=True)
class Execution:
    """What runs a network, and how.

    Attributes:
        provider: "cpu" or another of `engine.providers`.
        precision: in which it computes: "f32" is exact, the others are the provider's.
        spin: whether its threads wait for work at full speed.
        options: of ONNX Runtime for this provider, over those that follow from the rest.
    """

    provider: str = "cpu"
    precision: str = "f32"
    spin: bool = False
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def usual(self) -> bool:
        """Whether it is what others are held against: the processor, exactly."""
        return (self.provider, self.precision) == ("cpu", "f32")

    def __str__(self) -> str:
        """In words."""
        return f"{self.provider} {self.precision}"


class Network(Protocol):
    """A loaded network: images in, as its input is, and outputs out. Blocks while it computes."""

    @property
    def batches(self) -> bool:
        """Whether it takes more than one image at a time."""

    def __call__(
        self,
        images: Array,
        outputs: Sequence[str],
        *,
        wide: bool = True,
        stop: Stop | None = None,
    ) -> tuple[Array, ...]:
        """Run the network; its outputs of these names.

        Args:
            images: as its input is.
            outputs: the names of those that are wanted.
            wide: with all threads, or in the caller's alone.
            stop: ends the run when it is said; then Stopped is raised.
        """


class LoadedNetwork(Network, Protocol):
    """A network that came from a file."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """What the file says about itself."""


@dataclass(frozen=True, eq=False)
class Model:
    """One version of a model, loaded; two are the same only if they are the same object."""

    name: str
    version: str
    card: Card
    cost_of: CostFunction
    network: Network
    tilings: Mapping[str, Tiling] = field(default_factory=dict)  # of every output by its name
    settings: ModelSettings = field(default_factory=ModelSettings)
    execution: Execution = field(default_factory=Execution)
    agreement: float | None = None  # of its classes with the usual execution's, where they differ

    def cost(self, size: Size, *, batch: int = 1) -> Cost:
        """What a size costs.

        Raises:
            InvalidRequest: the graph does not take it.
        """
        self._check(size)
        try:
            return self.cost_of(*size, batch)
        except Inadmissible as error:
            raise InvalidRequest(
                f"model {self.name!r} does not take {size[1]}x{size[0]} (width x height): {error}"
            ) from error

    def grid(self, size: Size) -> Size:
        """Height and width of the output for an image of this size; 1x1 if it is not a map."""
        return self.card.output.grid(self.cost(size).output_shape)

    def padded(self, size: Size) -> Size:
        """Rows and columns that the graph itself adds to an image of this size."""
        padding = self.card.padding
        if padding is None:
            return (0, 0)
        return padding.height.missing(size[0]), padding.width.missing(size[1])

    def _check(self, size: Size) -> None:
        axes = (("height H", self.card.sizes.height), ("width W", self.card.sizes.width))
        wrong = {
            f"{axis} {_wanted(contract)}, got {got}": _why(contract)
            for (axis, contract), got in zip(axes, size, strict=True)
            if not contract.admits(got)
        }
        if wrong:
            whys = "; ".join(dict.fromkeys(wrong.values()))
            raise InvalidRequest(f"model {self.name!r} takes {' and '.join(wrong)}: {whys}")


def _wanted(contract: AxisContract) -> str:
    """The sizes it takes, to follow an axis's name: "= 224 only", "of 16, 32, ..."."""
    fixed = contract.minimum == contract.maximum
    return f"= {contract.expected()} only" if fixed else f"of {contract.expected()}"


def _why(contract: AxisContract) -> str:
    return f"node {contract.node} fixes it: {contract.reason}" if contract.node else contract.reason


@dataclass(frozen=True, eq=False)
class Request:
    """One image and what to say about it.

    The image is an encoded file, its bytes or opened, uint8 pixels (h, w, channels) or (h, w), or
    float32 (channels, h, w) that goes into a network of floats as it is.
    """

    image: bytes | BinaryIO | Array
    kinds: tuple[OutputKind, ...] = (OutputKind.CLASS_MAP,)
    top_k: int = 5
    threshold: float = 0.5
    threshold_class: int = 0
    names: tuple[str, ...] = ()  # of the graph's outputs that are wanted as they are


@dataclass(frozen=True)
class Timing:
    """Where the time of a request went, in seconds."""

    decode_s: float
    queue_s: float
    compute_s: float
    reduce_s: float


@dataclass(frozen=True, eq=False)
class Plan:
    """How one image goes through a network."""

    model: Model
    image_size: Size
    grid_size: Size
    route: RouteKind
    pieces: int


@dataclass(frozen=True, eq=False)
class Prediction:
    """The answer to one request."""

    plan: Plan
    timing: Timing
    outputs: Mapping[Asked, Array] = field(default_factory=dict)
