"""The model card: what an exported model says about itself.

A card is JSON under the key `anyres.card` in an ONNX file's `metadata_props`, and travels as JSON
in `GetModel`. It is the one description that exporter, server and client share: which sizes the
model takes and why, what its input and output mean, and what was proven about it.

Geometry is exact, so it is kept in integers and fractions (a fraction is written "1/2" in JSON).
The geometric parts have the field names of the analyzer's own values, so an analysis validates
into a card (`from_attributes`) although neither package imports the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

METADATA_KEY = "anyres.card"
NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"  # of a model; it is a file's name too
Meaning: TypeAlias = Literal[
    "logits", "probabilities", "values", "class_map", "mask", "top_k_classes", "top_k_scores"
]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", from_attributes=True)


class AxisContract(_Frozen):
    """Which sizes one spatial axis takes, who decides that, and why.

    The admissible sizes are `minimum + k * step` up to `maximum`; a fixed axis has
    `minimum == maximum`.
    """

    verdict: Literal["free", "stepped", "fixed", "unsafe", "unknown"]
    minimum: int = Field(ge=1)
    step: int = Field(ge=1, default=1)
    maximum: int | None = None
    node: str | None = None
    reason: str

    @model_validator(mode="after")
    def _some_size_is_taken(self) -> Self:
        if self.maximum is not None and self.maximum < self.minimum:
            raise ValueError(f"maximum {self.maximum} is below minimum {self.minimum}")
        return self

    def admits(self, size: int) -> bool:
        """Whether an image of this many pixels along the axis is taken."""
        below = self.maximum is not None and size > self.maximum
        return size >= self.minimum and not below and (size - self.minimum) % self.step == 0

    def expected(self) -> str:
        """The admissible sizes in words: "224", "at least 1", "16, 32, 48, ... (steps of 16)"."""
        if self.maximum == self.minimum:
            return str(self.minimum)
        if self.step == 1:
            until = "" if self.maximum is None else f" and at most {self.maximum}"
            return f"at least {self.minimum}{until}"
        first = [self.minimum + i * self.step for i in range(3)]
        shown = ", ".join(str(size) for size in first if self.admits(size))
        if self.maximum is None:
            return f"{shown}, ... (steps of {self.step})"
        last = self.maximum - (self.maximum - self.minimum) % self.step
        return shown if last <= first[-1] else f"{shown}, ... {last} (steps of {self.step})"


class SizeContract(_Frozen):
    """The admissible heights and widths."""

    height: AxisContract
    width: AxisContract


class AxisField(_Frozen):
    """The receptive field along one axis.

    Output pixel `i` depends on the input pixels in `[stride * i + low, stride * i + high]`; `size`
    counts them at most. The terms are those of Araujo et al. (Distill, 2019).
    """

    size: int
    stride: Fraction
    low: Fraction
    high: Fraction

    @property
    def centre(self) -> Fraction:
        """The input coordinate that output pixel 0 is centred on."""
        return (self.low + self.high) / 2


class ReceptiveField(_Frozen):
    """The receptive field of the output, height and width."""

    height: AxisField
    width: AxisField


class AxisTiling(_Frozen):
    """How one axis may be cut so that tiles equal the whole, in input pixels.

    A tile starts at a multiple of `alignment` and carries at least `halo_before` and `halo_after`
    real pixels beyond its core, except at a true border of the image. The shortest one inside an
    image is `minimum_tile` long.
    """

    alignment: int = Field(ge=1)
    halo_before: int = Field(ge=0)
    halo_after: int = Field(ge=0)
    minimum_tile: int | None = Field(ge=1, default=None)


class Tiling(_Frozen):
    """The rule for exact tiles, or the nodes that make them impossible."""

    height: AxisTiling | None = None
    width: AxisTiling | None = None
    breakers: tuple[str, ...] = ()

    @property
    def exact(self) -> bool:
        """Whether tiles can equal the whole image."""
        return self.height is not None and self.width is not None


class AxisPadding(_Frozen):
    """What a graph adds along one axis: `before` pixels first, and after as many as it takes.

    It pads to the smallest `minimum + k * step` that is at least `more` pixels above the image.
    """

    step: int = Field(ge=1)
    minimum: int = Field(ge=1, default=1)
    before: int = Field(ge=0, default=0)
    more: int = Field(ge=0, default=0)

    @model_validator(mode="after")
    def _what_comes_before_is_of_it(self) -> Self:
        if self.before > self.more:
            raise ValueError(f"{self.before} pixels before are not among {self.more}")
        return self

    def missing(self, size: int) -> int:
        """How many rows or columns an image of this size lacks, in all."""
        lacking = self.minimum - self.more - size
        return max(lacking % self.step, lacking) + self.more


class Padding(_Frozen):
    """What the graph itself adds before, and crops after, the network."""

    height: AxisPadding
    width: AxisPadding
    mode: Literal["edge", "reflect", "constant"]
    value: float = 0.0

    @model_validator(mode="before")
    @classmethod
    def _one_rule_for_both_axes(cls, fields: object) -> object:
        """Cards have been written with one step and minimum for both."""
        if not isinstance(fields, dict) or "step" not in fields:
            return fields
        axis = {key: fields[key] for key in ("step", "minimum") if key in fields}
        rest = {key: value for key, value in fields.items() if key not in axis}
        return rest | {"height": axis, "width": axis}


class ImageInput(_Frozen):
    """What the network's input tensor is made of.

    A decoded image (h, w, channels) in 0..255 becomes `(pixel * scale - mean) / std`, float32, in
    this `layout`: (1, channels, h, w) or (1, h, w, channels). A graph whose `dtype` is uint8 does
    that by itself: it takes the pixels as they were decoded, in this `layout` and order of colours.
    """

    name: str = "image"
    channels: int = Field(ge=1, default=3)
    colour: Literal["RGB", "BGR", "GRAY"] = "RGB"
    dtype: Literal["float32", "uint8"] = "float32"
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    scale: float = 1 / 255
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)

    def shape(self, batch: int, height: int, width: int) -> tuple[int, int, int, int]:
        """The shape of so many images of a size."""
        if self.layout == "NHWC":
            return batch, height, width, self.channels
        return batch, self.channels, height, width

    def size(self, shape: Sequence[int]) -> tuple[int, int]:
        """The height and width of images of this shape."""
        return (shape[1], shape[2]) if self.layout == "NHWC" else (shape[2], shape[3])

    @model_validator(mode="after")
    def _one_mean_and_std_a_channel(self) -> Self:
        if not len(self.mean) == len(self.std) == self.channels:
            raise ValueError(
                f"mean and std need {self.channels} values, one a channel; "
                f"got {len(self.mean)} and {len(self.std)}"
            )
        return self


class Output(_Frozen):
    """What one of the network's output tensors means.

    A dense output is a map in its `layout`, (n, channels, h_out, w_out) by default, whose pixel `i`
    is centred on input pixel `stride * i + offset`; one that is not dense is (n, channels): one
    answer for the whole image. NHW is a map without channels, and counts one.

        logits, probabilities   a score for each class
        class_map               the index of the best of `classes`
        mask                    1 where a channel is above the graph's threshold, else 0
        top_k_classes           the indices of the `channels` best of `classes`, the best first
        top_k_scores            their probabilities
        values                  any other numbers

    Outputs of one `source` are made of the same scores, cell by cell.
    """

    name: str = "logits"
    meaning: Meaning = "logits"
    classes: int | None = Field(ge=1, default=None)
    source: str | None = None
    dtype: str = "float32"  # numpy's name
    layout: Literal["NCHW", "NHWC", "NHW"] = "NCHW"
    channels: int = Field(ge=1)
    dense: bool
    stride: tuple[Fraction, Fraction] = (Fraction(1), Fraction(1))
    offset: tuple[Fraction, Fraction] = (Fraction(0), Fraction(0))

    @property
    def class_count(self) -> int:
        """How many classes its numbers tell apart."""
        if self.meaning == "mask" and self.channels == 1:
            return 2
        if self.classes is not None:
            return self.classes
        if self.meaning in ("class_map", "top_k_classes"):
            return 2**8 if self.dtype == "uint8" else 2**16
        return self.channels

    def grid(self, shape: Sequence[int]) -> tuple[int, int]:
        """The height and width of an output of this shape; 1x1 if it is no map."""
        if len(shape) not in (3, 4):
            return 1, 1
        last = len(shape) == 4 and self.layout == "NHWC"
        return (shape[1], shape[2]) if last else (shape[-2], shape[-1])


class ClassName(_Frozen):
    """One class: its name and the colour it is drawn in, 0..255 each."""

    name: str
    colour: tuple[int, int, int] | None = None


class CostAt(_Frozen):
    """What one image (or the one batch that the model takes) of this size costs."""

    width: int = Field(ge=1)
    height: int = Field(ge=1)
    macs: int = Field(ge=0)
    activation_bytes: int = Field(ge=0)


class Term(_Frozen):
    """`coefficient * H^height * W^width`."""

    coefficient: Fraction
    height: int = Field(ge=0)
    width: int = Field(ge=0)


class Formula(_Frozen):
    """Cost in H and W: exact where both are at least `minimum` and leave `remainder` by `period`.

    Sizes are (width, height). The peak is the largest of its polynomials.
    """

    period: tuple[int, int]
    remainder: tuple[int, int]
    minimum: tuple[int, int]
    macs: tuple[Term, ...]
    activation_bytes: tuple[tuple[Term, ...], ...]


class Cost(_Frozen):
    """Multiply-adds and peak bytes of live activations: at some sizes, and in closed form.

    A cost depends on the remainders of the size too, so a model has a formula for each; the card
    has that of the sizes it lists.
    """

    at: tuple[CostAt, ...] = ()
    formula: Formula | None = None


class Proof(_Frozen):
    """One size at which ONNX Runtime was compared with the original: the worst of all outputs.

    `argmax_agreement` is the share of answers whose highest channel is the same.
    """

    batch: int
    height: int
    width: int
    max_abs_error: float
    max_rel_error: float
    argmax_agreement: float | None = Field(ge=0, le=1, default=None)


class Precision(_Frozen):
    """A faster variant beside the fp32 model it was made of, on pictures that it never saw.

    Of several outputs the worst counts. An answer (a cell of a map, or a whole image's) agrees
    where the class is the same; a number where it is within `tolerance` of fp32's spread.

    Args:
        kind: int8 weights and activations; fp16 both; or weights alone kept as fp16.
        method: how the ranges of int8 activations were found.
        calibration: how many pictures they were found on; `pictures` are others.
        agreement: the share of answers that agree; `minimum` was asked for.
        mean_iou: of fp32's class map and the variant's (Long et al., 2015); None without a map.
        graph_bytes: of the variant without its card, `fp32_graph_bytes` of what it was made of.
        speedup: fp32's median seconds by the variant's, measured side by side at (width, height)
            `timed_at` in ONNX Runtime `runtime` with `threads` threads.
        kept: nodes that were left in fp32 because they hurt most.
    """

    kind: Literal["int8", "fp16", "weights-fp16"]
    method: Literal["entropy", "minmax"] | None = None
    calibration: int = Field(ge=0)
    pictures: int = Field(ge=1)
    agreement: float = Field(ge=0, le=1)
    minimum: float = Field(ge=0, le=1)
    tolerance: float = Field(ge=0)
    mean_iou: float | None = Field(ge=0, le=1, default=None)
    max_abs_error: float = Field(ge=0)
    mean_abs_error: float = Field(ge=0)
    graph_bytes: int = Field(ge=1)
    fp32_graph_bytes: int = Field(ge=1)
    speedup: float = Field(gt=0)
    timed_at: tuple[int, int]
    threads: int = Field(ge=1)
    runtime: str
    kept: tuple[str, ...] = ()


class Patches(_Frozen):
    """Dense answers against the classifier on the patches that they stand for: their logits.

    `cells` of the `of` answers that the images' grids have were compared; `photographs` says
    whether the images were photographs or seeded noise. `max_rel_difference` is of the largest
    magnitude among the classifier's logits. `reasons` says why the two are not equal; without one
    they are.
    """

    images: int = Field(ge=1)
    photographs: bool
    cells: int = Field(ge=1)
    of: int = Field(ge=1)
    max_abs_difference: float
    mean_abs_difference: float
    max_rel_difference: float
    argmax_agreement: float = Field(ge=0, le=1)
    reasons: tuple[str, ...] = ()


class Conversion(_Frozen):
    """How a classifier became a network that answers at every position, and what that is worth.

    `source` is the classifier's file by its sha256, `trained` the size (width, height) that it was
    made for, and `window` how many cells (columns, rows) of its last map one answer of it is made
    of. At that size the two differ by `max_abs_error`, and by `max_rel_error` of the largest value.
    """

    source: str
    trained: tuple[int, int]
    window: tuple[int, int]
    pool: Literal["keep", "drop"]
    upsample: Literal["bilinear", "none"]
    max_abs_error: float
    max_rel_error: float
    patches: Patches


class Description(_Frozen):
    """What a model's author says about it; the rest of a card is derived and proven."""

    name: str = Field(pattern=NAME)
    description: str = ""
    task: Literal["classification", "segmentation", "regression", "unknown"]
    input: ImageInput = ImageInput()
    classes: tuple[ClassName, ...] = ()


class Card(Description):
    """Everything a model says about itself."""

    schema_version: Literal[1] = 1
    outputs: tuple[Output, ...] = Field(min_length=1)
    sizes: SizeContract
    padding: Padding | None = None
    receptive_field: ReceptiveField | None = None
    tiling: Tiling = Tiling()
    parameters: int = Field(ge=0, default=0)
    cost: Cost | None = None
    proofs: tuple[Proof, ...] = ()
    conversion: Conversion | None = None
    precision: Precision | None = None
    provenance: dict[str, str] = Field(default_factory=dict)

    @property
    def output(self) -> Output:
        """The first output: the one that is served, and that `tiling` and the field speak of."""
        return self.outputs[0]

    @property
    def views(self) -> tuple[Output, ...]:
        """The first output, and the others that are made of the same scores."""
        first, *others = self.outputs
        return (first, *(each for each in others if each.source and each.source == first.source))

    @property
    def scores(self) -> Output | None:
        """The view that is nearest to the network's own answer; None where the graph keeps none."""
        by_meaning = {view.meaning: view for view in reversed(self.views)}
        found = (by_meaning.get(meaning) for meaning in ("logits", "probabilities", "values"))
        return next((view for view in found if view), None)
