"""Everything an analysis says, as plain values: what `--json` prints and what the views draw.

Sizes are (width, height), as image people write them; tensors are (n, c, h, w). Counts are exact
integers and geometry exact fractions, which JSON holds as strings ("1/2", "16"). The JSON schema
in `report.schema.json` is written from these classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, TypeAlias

from pydantic import ConfigDict

from anyres_analyzer.weights.growth import ParametersBySize
from anyres_analyzer.weights.mixing import Mixing

Size: TypeAlias = tuple[int, int]  # width, height
_DESCRIBED = ConfigDict(use_attribute_docstrings=True)


@dataclass(frozen=True)
class Input:
    """The image that goes in."""

    __pydantic_config__: ClassVar[ConfigDict] = _DESCRIBED

    name: str
    channels: int
    type: str
    """ONNX element type: float, float16, uint8, ..."""
    layout: str
    """The order of its dimensions: NCHW or NHWC."""
    declared: tuple[int | str | None, ...]
    """The dimensions as the file declares them: a number where static, a name or null where not."""


@dataclass(frozen=True)
class Axis:
    """Which sizes one axis takes: `minimum + k * step`, up to `maximum` where there is one."""

    __pydantic_config__: ClassVar[ConfigDict] = _DESCRIBED

    verdict: str
    """free, stepped, fixed, unsafe (sizes go through and are wrong) or unknown."""
    minimum: int
    step: int
    maximum: int | None
    node: str | None
    """The node that decides."""
    reason: str
    also: tuple[tuple[int, int], ...]
    """Further admissible sizes, as (minimum, step): the exact set is the union, where one
    progression does not hold it all."""


@dataclass(frozen=True)
class Joint:
    """A constraint that ties height and width: only the product of a map's is checked."""

    __pydantic_config__: ClassVar[ConfigDict] = _DESCRIBED

    node: str
    product: int
    """What h * w of that node's map must be."""
    map: tuple[int, int]
    """(h, w) there at the size that the model was made for."""
    accepted: Size
    """An image with a map of another shape that goes through as well, and is wrong."""


@dataclass(frozen=True)
class Witness:
    """One size, and what it shows."""

    __pydantic_config__: ClassVar[ConfigDict] = _DESCRIBED

    size: Size
    shows: str
    """passes, fails, or silently wrong."""
    why: str
    confirmed: bool | None
    """Whether ONNX Runtime did as predicted; null where it was not asked."""


@dataclass(frozen=True)
class Finding:
    """Something the reader must know: an error (the file says what is not so) or a warning."""

    __pydantic_config__: ClassVar[ConfigDict] = _DESCRIBED

    level: str
    """error or warning."""
    node: str | None
    message: str


@dataclass(frozen=True)
class AxisField:
    """What output pixel `i` sees along one axis: input pixels stride * i + [low, high], at most."""

    __pydantic_config__: ClassVar[ConfigDict] = _DESCRIBED

    size: int
    """Pixels at the widest phase."""
    stride: Fraction
    """Effective stride."""
    padding: int
    """Effective padding: how far output 0 reaches before the image (Araujo et al., 2019)."""
    offset: Fraction
    """Output `i` is centred on input pixel stride * i + offset."""
    low: Fraction
    high: Fraction
    phases: tuple[tuple[int, int], ...]
    """(first, last) input pixel of outputs 0, 1, ...; then it repeats, `repeats` pixels on."""
    repeats: int


@dataclass(frozen=True)
class AxisTiling:
    """How one axis may be cut, in input pixels."""

    __pydantic_config__: ClassVar[ConfigDict] = _DESCRIBED

    alignment: int
    """Tiles and cores start on multiples of it."""
    halo_before: int
    halo_after: int
    minimum_tile: int
    """The shortest tile inside an image: one core of `alignment` pixels and its halos."""


@dataclass(frozen=True)
class Output:
    """One output: what it is, what its pixels see, how it may be cut."""

    __pydantic_config__: ClassVar[ConfigDict] = _DESCRIBED

    name: str
    meaning: str
    """What its numbers are: logits, probabilities, class_map, mask, top_k_classes, ..."""
    type: str
    """numpy's name: float32, uint8, ..."""
    layout: str
    """The order of its dimensions: NCHW, NHWC, or NHW of a map without channels."""
    channels: int
    dense: bool
    """A map that follows the image; else one answer for the whole image."""
    field_height: AxisField | None
    """null where it is the whole image, or unknown."""
    field_width: AxisField | None
    tiling_height: AxisTiling | None
    """null where tiles cannot be exact."""
    tiling_width: AxisTiling | None
    breakers: tuple[str, ...]
    """The nodes that forbid exact tiles, each with its reason."""
    misaligned: tuple[str, ...]
    """Joins whose paths are centred on different pixels, each with both paths and the distance."""


@dataclass(frozen=True)
class TileCheck:
    """Tiles along one axis against the whole image, both by ONNX Runtime."""

    __pydantic_config__: ClassVar[ConfigDict] = _DESCRIBED

    output: str
    size: Size
    tiles: int
    worst_difference: float | None
    largest_value: float | None
    """Of the whole image's output, in absolute value."""
    bit_equal: float | None
    """The share of values that are the same to the last bit."""
    refused: str | None
    """Why there is no comparison."""


@dataclass(frozen=True)
class Term:
    """coefficient * H^height * W^width."""

    __pydantic_config__: ClassVar[ConfigDict] = _DESCRIBED

    coefficient: Fraction
    height: int
    width: int


@dataclass(frozen=True)
class Piece:
    """A polynomial, and the node whose moment it is: the peak is the largest of its pieces."""

    __pydantic_config__: ClassVar[ConfigDict] = _DESCRIBED

    node: str
    terms: tuple[Term, ...]


@dataclass(frozen=True)
class Formula:
    """Cost in H and W, exact where H and W leave these remainders and are at least `minimum`."""

    __pydantic_config__: ClassVar[ConfigDict] = _DESCRIBED

    period: Size
    remainder: Size
    minimum: Size
    macs: tuple[Term, ...]
    tensor_bytes: tuple[Term, ...]
    """All activations together, were they all kept."""
    peak: tuple[Piece, ...]
    """Peak activation memory in bytes: the largest of these."""


@dataclass(frozen=True)
class Cost:
    """What one image of a size costs, or why it does not go through."""

    __pydantic_config__: ClassVar[ConfigDict] = _DESCRIBED

    size: Size
    refused: str | None
    macs: int | None
    activation_bytes: int | None
    """Peak of live activations, input and output included."""
    peak_node: str | None
    runtime_bytes: int | None
    """What ONNX Runtime's CPU provider takes at its peak beside weights and image, arena off."""
    arena_bytes: int | None
    """What its arena reserves, and keeps, with the arena on."""
    output_shape: tuple[int, ...] | None
    answers: Size | None
    """How many lie across and down; null where they form no map."""


@dataclass(frozen=True)
class Kind:
    """The parameters of one kind of weight, together."""

    __pydantic_config__: ClassVar[ConfigDict] = _DESCRIBED

    kind: str
    layers: int
    parameters: int


@dataclass(frozen=True)
class Layer:
    """One node that holds parameters or multiplies."""

    __pydantic_config__: ClassVar[ConfigDict] = _DESCRIBED

    node: str
    operator: str
    kind: str
    parameters: int
    output_shape: tuple[int, ...]
    """At the first of the sizes asked for."""
    macs: int
    """Likewise."""


@dataclass(frozen=True)
class Report:
    """Everything about one model."""

    __pydantic_config__: ClassVar[ConfigDict] = _DESCRIBED

    model: str
    opset: int
    nodes: int
    input: Input
    height: Axis
    width: Axis
    joint: Joint | None
    witnesses: tuple[Witness, ...]
    findings: tuple[Finding, ...]
    outputs: tuple[Output, ...]
    tile_checks: tuple[TileCheck, ...]
    """Empty where ONNX Runtime was not asked."""
    parameters: int
    kinds: tuple[Kind, ...]
    growth: tuple[ParametersBySize, ...]
    """Parameters that the same layers would need at other sizes: with an FC head they grow."""
    mixing: tuple[Mixing, ...] | None
    """What each 1x1 convolution does to the channels; null where it was not asked for."""
    layers: tuple[Layer, ...]
    formula: Formula | None
    """For the first of the sizes asked for, and all of its residue class."""
    costs: tuple[Cost, ...]
