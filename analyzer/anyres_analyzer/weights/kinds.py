"""What each weight is for, judged by what it contracts and not by its layer's class name.

A fully connected layer mixes every value it is given; over a flattened map that is every pixel with
every other, which is what fixes an image's size. A 1x1 convolution is the same mix of channels at
every pixel, so it takes any size. Example: a Linear(1280, 1000) after pooling holds 1281000
parameters, bias included, and so does the 1x1 convolution that replaces it.

    what is contracted            and applied            kind
    pixels of a whole axis        once                   fc over space
    channels                      once                   fc (after pooling, or after another fc)
    channels                      at every position      1x1 convolution
    pixels of a window            at every position      k x k convolution
    pixels of a window            channel by channel     depthwise k x k
    nothing                       channel by channel     per-channel scale (or shift)

So a convolution whose window is the whole map is an FC layer, a 1x1 convolution of a pooled map is
one too, and a MatMul of (n, h*w, c) is a 1x1 convolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

import onnx

from anyres_analyzer.graph.graph import Constant, Graph, Node
from anyres_analyzer.shapes.tensor import Tensors
from anyres_analyzer.weights.axes import FACTORS, NO_AXES, Axes, axes_of

KINDS = (
    "fc over space",
    "fc",
    "1x1 convolution",
    "per-channel scale",
    "depthwise k x k",
    "k x k convolution",
    "other",
)


@dataclass(frozen=True)
class Weight:
    """One layer that holds parameters: what it is for, and how many, bias included."""

    node: str
    kind: str
    parameters: int


def weights(graph: Graph, tensors: Tensors) -> tuple[Weight, ...]:
    """Every layer with parameters, in graph order; a shared weight counts once, where first used.

    What is made of constants alone (a transposed or quantized weight) belongs to the layer that
    meets it with the image, and a bias that is added by a node of its own to the layer before it.
    Statistics of a batch norm, the scales and zero points of quantization and what the bytes of an
    image are scaled by are not learned.
    """
    axes = axes_of(graph, tensors)
    found: list[Weight] = []
    seen = _given(graph)
    biased: dict[str, int] = {}  # what a layer makes, and which layer of `found` it is
    for node in graph.nodes:
        if node.op_type in _NOT_LEARNED or not any(name in axes for name in node.inputs):
            continue
        made_of = frozenset().union(*(graph.sources.get(name, ()) for name in node.inputs)) - seen
        seen |= made_of
        parameters = sum(_learned(graph.constants[name]) for name in made_of)
        if not parameters:
            continue
        kind = _kind(node, axes, tensors)
        layer = next((biased[name] for name in node.inputs if name in biased), None)
        if node.op_type == "Add" and kind == "per-channel scale" and layer is not None:
            before = found[layer]
            found[layer] = replace(before, parameters=before.parameters + parameters)
            continue
        if parameters == 1 and node.op_type in _ARITHMETIC:
            continue  # a number of the formula, as the square root in an attention
        if node.op_type in WEIGHT_INPUT or node.op_type in FACTORS:
            biased |= dict.fromkeys(node.made, len(found))
        found.append(Weight(node.label, kind, parameters))
    return tuple(found)


def _learned(constant: Constant) -> int:
    """The elements of a constant that can be a weight: no shape, axis or single number."""
    steers = constant.elem_type in _STEERING_TYPES or constant.shape == ()
    return 0 if steers else prod(constant.shape)


_STEERING_TYPES = (onnx.TensorProto.INT64, onnx.TensorProto.BOOL, onnx.TensorProto.STRING)
_NOT_LEARNED = frozenset({"Clip", "Resize", "Upsample", "Pad"})


def _given(graph: Graph) -> frozenset[str]:
    """The constants that no training has changed by a gradient."""
    reshaped = frozenset(n for node in graph.nodes if node.op_type == "Reshape" for n in node.made)
    return _scales_of_bytes(graph).union(
        *(
            graph.origins.get(name, ())
            for node in graph.nodes
            for index in _GIVEN.get(node.op_type, ()) or _neutral(graph, node, reshaped)
            for name in node.inputs[index : index + 1]
        )
    )


def _scales_of_bytes(graph: Graph) -> frozenset[str]:
    """The constants that pixels meet on their way from bytes to numbers."""
    if graph.image.elem_type != onnx.TensorProto.UINT8:
        return frozenset()
    pixels, met = {graph.image.name}, frozenset[str]()
    for node in graph.nodes:
        if node.op_type in _OF_PIXELS and not pixels.isdisjoint(node.inputs):
            pixels.update(node.made)
            met = met.union(*(graph.origins.get(name, ()) for name in node.inputs))
    return met


def _neutral(graph: Graph, node: Node, reshaped: frozenset[str]) -> tuple[int, ...]:
    """A group norm is written as a norm of reshaped instances, with ones and zeros of its own."""
    if node.op_type != "InstanceNormalization" or node.inputs[0] not in reshaped:
        return ()
    scale, shift = (graph.constants.get(name) for name in node.inputs[1:3])
    if scale is None or shift is None or scale.value is None or shift.value is None:
        return ()
    return (1, 2) if (scale.value == 1).all() and not shift.value.any() else ()


# Measured means and variances, scales and zero points.
_GIVEN = {
    "BatchNormalization": (3, 4),
    "ConvInteger": (2, 3),
    "DequantizeLinear": (1, 2),
    "MatMulInteger": (2, 3),
    "QLinearConv": (1, 2, 4, 5, 6, 7),
    "QLinearMatMul": (1, 2, 4, 5, 6, 7),
    "QuantizeLinear": (1, 2),
}


def _kind(node: Node, axes: dict[str, Axes], tensors: Tensors) -> str:
    if node.op_type in FACTORS:
        return _product(node, axes)
    if node.op_type in WEIGHT_INPUT:
        return _convolution(node, axes, tensors)
    return "per-channel scale" if _by_channel(node, axes, tensors) else "other"


def _product(node: Node, axes: dict[str, Axes]) -> str:
    contracted, applied = contraction(node, axes)
    if contracted - applied:
        return "fc over space"
    if contracted:
        return "k x k convolution"
    return "1x1 convolution" if applied else "fc"


def contraction(node: Node, axes: dict[str, Axes]) -> tuple[frozenset[int], frozenset[int]]:
    """Of a product with the map: the image axes it contracts, and those it is applied along."""
    left, right = (node.inputs[index] for index in FACTORS[node.op_type])
    image, side = (left, "A") if left in axes else (right, "B")
    own = axes[image][::-1] if node.attributes.get(f"trans{side}", 0) else axes[image]
    dim = len(own) - (1 if image == left or len(own) == 1 else 2)
    rows = frozenset().union(*own[:dim], *own[dim + 1 :])
    return own[dim], rows


def _convolution(node: Node, axes: dict[str, Axes], tensors: Tensors) -> str:
    first, second, *window = tensors[node.inputs[WEIGHT_INPUT[node.op_type]]].shape
    group = node.attributes.get("group", 1)
    inputs = first // group if node.op_type == "ConvTranspose" else second  # of each group
    point = all(size == 1 for size in window)
    if group > 1 and inputs == 1:
        return "per-channel scale" if point else "depthwise k x k"
    image, output = tensors[node.inputs[0]].shape[2:], tensors[node.made[0]].shape[2:]
    if not point:
        whole = tuple(window) == image and set(output) == {1}
        return "fc over space" if whole else "k x k convolution"
    pooled = set(image) == {1} and not any(axes.get(node.inputs[0], ())[2:])
    return "fc" if pooled else "1x1 convolution"


# The layers that slide a weight over a map, and which input it is.
WEIGHT_INPUT = {"Conv": 1, "ConvInteger": 1, "ConvTranspose": 1, "QLinearConv": 3}


def _by_channel(node: Node, axes: dict[str, Axes], tensors: Tensors) -> bool:
    """Whether each channel of the map meets a number of its own, the same at every pixel."""
    if node.op_type in _OF_CHANNELS:
        return True
    if node.op_type not in _ELEMENTWISE:
        return False
    image = next(name for name in node.inputs if name in axes)
    learned = (tensors[name].shape for name in node.inputs if name and name not in axes)
    return all(_along_channels(shape, axes[image]) for shape in learned)


def _along_channels(shape: Sequence[int], axes: Axes) -> bool:
    """Whether a constant's one dimension of several numbers is neither batch nor pixels."""
    several = [dim - len(shape) for dim, size in enumerate(shape) if size > 1]
    return len(several) == 1 and -len(axes) < several[0] and axes[several[0]] == NO_AXES


_OF_CHANNELS = frozenset({"BatchNormalization", "GroupNormalization", "InstanceNormalization"})
_ARITHMETIC = frozenset({"Add", "Div", "Mul", "Sub"})
_OF_PIXELS = _ARITHMETIC | {"Cast", "Gather", "Transpose"}
_ELEMENTWISE = _ARITHMETIC | {"LayerNormalization", "RMSNormalization"}
