"""How a figure of a paper is read off an analysis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import TypeAlias

from anyres_analyzer.analysis import Analysis
from anyres_analyzer.output import AxisField
from anyres_analyzer.published.figure import Value
from anyres_analyzer.report import comparison

Reading: TypeAlias = Callable[[Analysis], Value]
WHOLE = "the whole image, or unknown"


def learned(analysis: Analysis) -> int:
    """Parameters as papers count them."""
    return analysis.parameters


def in_layer(name: str) -> Reading:
    """The parameters of one layer."""

    def found(analysis: Analysis) -> int:
        label = f"'{name}' "
        return sum(w.parameters for w in analysis.weights if w.node.startswith(label))

    return found


def fully_connected_share(analysis: Analysis) -> float:
    """The percentage of the learned parameters that lies in fully connected layers."""
    kinds = ("fc over space", "fc")
    connected = sum(w.parameters for w in analysis.weights if w.kind in kinds)
    return round(100 * connected / learned(analysis), 2)


def macs_at(size: int) -> Reading:
    """Multiply-adds of a square image."""
    return lambda analysis: analysis.cost(size, size).macs


def macs_in_closed_form(analysis: Analysis) -> str:
    """As a polynomial in H and W, on the sizes of the smallest one's residue class."""
    formula = analysis.formula(analysis.sizes.height.minimum, analysis.sizes.width.minimum)
    if formula is None:
        return "no polynomial"
    terms = formula.macs.monomials().items()
    return " + ".join(f"{_written(factor)} {'H' * h}{'W' * w}".strip() for (h, w), factor in terms)


def map_at(size: int) -> Reading:
    """Width and height of what it makes of a square image."""
    return lambda analysis: analysis.cost(size, size).output_shape[:1:-1]


def map_like_image(sizes: Sequence[tuple[int, int]]) -> Reading:
    """Whether the output is as large as the image: at "all" sizes (height, width), or where not."""

    def found(analysis: Analysis) -> str:
        shapes = ((size, analysis.cost(*size).output_shape[2:]) for size in sizes)
        other = (f"{w}x{h} gives {shape}" for (h, w), shape in shapes if shape != (h, w))
        return next(other, "all")

    return found


def smallest_and_step(analysis: Analysis) -> Value:
    """Of the sizes that it takes, where height and width agree and there is no largest."""
    height, width = analysis.sizes.height, analysis.sizes.width
    if height != width or width.maximum is not None:
        return f"{width.expected()} x {height.expected()}"
    return width.minimum, width.step


def field_and_stride(analysis: Analysis) -> Value:
    """What an output pixel sees and how far the next one's view is, in pixels."""
    return _of_field(analysis, 0, lambda axis: (axis.size, int(axis.stride)))


def field_stride_and_padding(name: str) -> Reading:
    """Of one of several outputs, and with how far its first pixel looks beyond the border."""

    def found(analysis: Analysis) -> Value:
        index = [output.name for output in analysis.outputs].index(name)
        return _of_field(analysis, index, lambda axis: (axis.size, int(axis.stride), axis.padding))

    return found


def stride_and_offset(analysis: Analysis) -> Value:
    """On which pixels of the image the output's are centred: (1, 0) where on the same ones."""
    output = analysis.output
    if output.misaligned:
        return output.misaligned[0]
    down, across = zip(output.stride, output.offset, strict=True)
    if down != across or any(part.denominator > 1 for part in down):
        return " x ".join(f"{stride} from {offset}" for stride, offset in (across, down))
    return int(down[0]), int(down[1])


def convolutions(analysis: Analysis) -> tuple[int, int, int]:
    """How many are 3x3, transposed 2x2 and 1x1."""
    constants = analysis.graph.constants
    windows = [
        (node.op_type, constants[node.inputs[1]].shape[2:])
        for node in analysis.graph.nodes
        if node.op_type in ("Conv", "ConvTranspose")
    ]
    kinds = (("Conv", (3, 3)), ("ConvTranspose", (2, 2)), ("Conv", (1, 1)))
    three, up, one = (windows.count(kind) for kind in kinds)
    return three, up, one


def constant_and_slopes(first: Analysis, more_channels: Analysis, more_classes: Analysis) -> Value:
    """Of the parameters as a sum: what is fixed, what a channel more costs, what a class costs.

    The networks have one channel and one class, one channel more, and one class more.
    """
    channel = more_channels.parameters - first.parameters
    per_class = more_classes.parameters - first.parameters
    return first.parameters - per_class, channel, per_class


def crops_per_pass(crop: int, image: int) -> Callable[[Analysis, Analysis], Value]:
    """How many times as much crops for the second cost as one pass of the first over the image."""

    def found(dense: Analysis, patches: Analysis) -> Value:
        sizes = [(crop, crop), (image, image)]
        patchwise = comparison.compare(("patches", patches), ("dense", dense), sizes).patchwise
        ratios = (at.ratio for at in patchwise.at if at.size == (image, image))
        ratio = next(ratios, None)
        return round(ratio, 2) if ratio else str(patchwise.does_not_apply)

    return found


def _of_field(analysis: Analysis, index: int, of: Callable[[AxisField], Value]) -> Value:
    field = analysis.outputs[index].receptive_field
    if field is None:
        return WHOLE
    height, width = of(field.height), of(field.width)
    return width if width == height else f"{width} x {height}"


def _written(factor: Fraction) -> str:
    return f"{factor.numerator:,}" + f"/{factor.denominator}" * (factor.denominator > 1)
