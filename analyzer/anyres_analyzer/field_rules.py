"""What each operator does to the field of an image axis. Adding an operator adds a row to `RULES`.

A rule gets a `Call` and returns the field of the node's outputs. Local operators compose a `Reach`;
the others name themselves as breakers, with the reason a reader needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import reduce
from math import prod

from anyres_analyzer import reach
from anyres_analyzer.field import AXIS_NAMES, Call, Field, Rule
from anyres_analyzer.resize_rule import resized
from anyres_analyzer.window import window_of


def pointwise(call: Call) -> Field:
    """Every output pixel reads the same pixel of each input."""
    present = [field for field in call.fields if field is not None]
    return reduce(lambda left, right: left.join(right, call.node), present)


def windowed(call: Call) -> Field:
    """Convolutions and pools."""
    image, axis = call.image, _spatial_axis(call)
    if image.dim is None:
        return image
    if call.fields[0] is None:
        return image.broken(call.node, "its weights depend on the image")
    if axis < 0:
        return image.broken(call.node, "it contracts the axis as channels")
    weight = call.tensor(1)
    window = window_of(call.node, axis, weight.shape if weight else None)
    if window.same and window.stride > 1:
        return image.broken(
            call.node, "its SAME padding depends on the image's size", dim=image.dim
        )
    before = _same_padding(window.extent, window.same) if window.same else window.pad_before
    return image.through(reach.window(window.taps, window.stride, window.dilation, before))


def _same_padding(extent: int, mode: str) -> int:
    """What SAME puts before the image at stride 1: half of extent - 1; LOWER takes the odd one."""
    return (extent - 1) // 2 if mode == "UPPER" else extent // 2


def transposed(call: Call) -> Field:
    """Transposed convolutions."""
    image, axis = call.image, _spatial_axis(call)
    if image.dim is None:
        return image
    weight = call.tensor(1)
    window = window_of(call.node, axis, weight.shape if weight else None)
    if window.same or call.node.attributes.get("output_shape"):
        return image.broken(call.node, "its padding depends on the image's size", dim=image.dim)
    return image.through(
        reach.transposed(window.taps, window.stride, window.dilation, window.pad_before)
    )


def _spatial_axis(call: Call) -> int:
    """Which spatial axis of an (n, c, ...) operator the field lives on; negative for n and c."""
    dim, tensor = call.image.dim, call.tensor(0)
    return (dim or 0) + (len(tensor.shape) - 2 if tensor else 0)


def pooled_globally(call: Call) -> Field:
    """The whole axis becomes one value."""
    return call.image.broken(call.node, "it pools the whole axis into one value")


def reduced(call: Call) -> Field:
    """Reductions: harmless over channels, global over space."""
    image, rank = call.image, _rank(call)
    if image.dim is None:
        return image
    axes = {int(axis) % rank for axis in _axes(call, default=range(rank))}
    if rank + image.dim in axes:
        return pooled_globally(call)
    dropped = 0 if call.node.attributes.get("keepdims", 1) else 1
    after = sum(1 for axis in axes if axis > rank + image.dim)
    return replace(image, dim=image.dim + dropped * after)


def normalised(call: Call) -> Field:
    """Statistics over the whole map: every pixel depends on every other."""
    return call.image.broken(
        call.node, "it normalises by statistics over the whole map", dim=call.image.dim
    )


def soft_over_axis(call: Call) -> Field:
    """Softmax and its kin along one dimension."""
    image, rank = call.image, _rank(call)
    if image.dim is None or call.node.attributes.get("axis", -1) % rank != rank + image.dim:
        return image
    return image.broken(call.node, "it normalises along the axis itself", dim=image.dim)


def layer_normalised(call: Call) -> Field:
    """LayerNormalization: from `axis` to the last dimension."""
    image, rank = call.image, _rank(call)
    if image.dim is None or rank + image.dim < call.node.attributes.get("axis", -1) % rank:
        return image
    return normalised(call)


def moved(call: Call) -> Field:
    """Transpose."""
    image, rank = call.image, _rank(call)
    if image.dim is None:
        return image
    order = call.node.attributes.get("perm") or tuple(reversed(range(rank)))
    return replace(image, dim=list(order).index(rank + image.dim) - rank)


def joined(call: Call) -> Field:
    """Concat."""
    image, rank = pointwise(call), _rank(call)
    if image.dim is not None and call.node.attributes["axis"] % rank == rank + image.dim:
        return image.broken(call.node, "it joins maps along the axis itself", dim=image.dim)
    return image


def divided(call: Call) -> Field:
    """Split."""
    image, rank = call.image, _rank(call)
    if image.dim is not None and call.node.attributes.get("axis", 0) % rank == rank + image.dim:
        return image.broken(call.node, "it splits the axis itself", dim=image.dim)
    return image


def gathered(call: Call) -> Field:
    """Gather with constant indices."""
    image, rank = call.image, _rank(call)
    if image.dim is None:
        return image
    axis = call.node.attributes.get("axis", 0) % rank
    indices = call.tensor(1)
    if axis == rank + image.dim or call.fields[0] is None or indices is None:
        return image.broken(call.node, "it picks positions along the axis")
    return replace(image, dim=image.dim - (len(indices.shape) - 1) * (axis > rank + image.dim))


def reshaped(call: Call) -> Field:
    """Reshape and its kin: the axis lives on where it stays a dimension of its own.

    Flattening (n, c, h, w) to (n, c*h*w) merges it; (n, c, h, w) to (n, g, c/g, h, w) does not.
    """
    image, rank = call.image, _rank(call)
    if image.dim is None:
        return image
    source, target = call.node.inputs[0], call.node.outputs[0]
    dims = [
        _same_dimension(tensors[source].shape, tensors[target].shape, rank + image.dim)
        for tensors in (call.small, call.large)
    ]
    if None in dims or dims[0] != dims[1]:
        return image.broken(call.node, "it flattens the axis into others")
    return replace(image, dim=dims[0])


def _same_dimension(source: tuple[int, ...], target: tuple[int, ...], position: int) -> int | None:
    """Where dimension `position` of `source` is in `target`, counted from the end."""
    before = prod(source[:position])
    for index, size in enumerate(target):
        if size == source[position] and prod(target[:index]) == before:
            return index - len(target)
    return None


def shuffled(call: Call) -> Field:
    """DepthToSpace."""
    return call.image.through(reach.pixel_shuffle(call.node.attributes["blocksize"]))


def unshuffled(call: Call) -> Field:
    """SpaceToDepth."""
    return call.image.through(reach.pixel_unshuffle(call.node.attributes["blocksize"]))


def multiplied(call: Call) -> Field:
    """MatMul and Gemm: a contraction over space ties every pixel to every other."""
    image = call.image
    if sum(field is not None for field in call.fields[:2]) > 1:
        return pointwise(call).broken(call.node, "it multiplies the map with itself (attention)")
    if image.dim is None:
        return image
    left = call.fields[0] is not None
    transposed_side = call.node.attributes.get("transA" if left else "transB", 0)
    contracted = -1 if left != bool(transposed_side) else -2
    if image.dim == contracted:
        return image.broken(call.node, f"its weights contract {_axis_name(image)} itself")
    return replace(image, dim=-2 if left else -1) if image.dim in (-1, -2) else image


def _axis_name(image: Field) -> str:
    return AXIS_NAMES[image.dim] if image.dim in (-1, -2) else "the axis"


def padded(call: Call) -> Field:
    """Pad: what it puts before the image shifts the reach; what it adds after does not."""
    image, rank = call.image, _rank(call)
    if image.dim is None:
        return image
    if call.node.attributes.get("mode", b"constant") == b"wrap":
        return image.broken(call.node, "it wraps the image around", dim=image.dim)
    before = _pads_before(call, rank)
    if before is None:
        return image.broken(
            call.node, "its padding at the beginning depends on the size", dim=image.dim
        )
    return image.through(reach.shift(-before))


def _pads_before(call: Call, rank: int) -> int | None:
    """The padding before the axis, where it is the same at both sizes."""
    dim = call.image.dim
    assert dim is not None, "the caller has looked"
    if "pads" in call.node.attributes:
        return int(call.node.attributes["pads"][rank + dim])
    axes = call.constant(3) or tuple(range(rank))
    positions = [int(axis) % rank for axis in axes]
    if rank + dim not in positions:
        return 0
    index, name = positions.index(rank + dim), call.node.inputs[1]
    values = [tensors[name].value for tensors in (call.small, call.large)]
    befores = {int(value[index]) for value in values if value is not None}
    return befores.pop() if len(befores) == 1 else None


def sliced(call: Call) -> Field:
    """Slice: a constant start shifts the reach, a step scales it, the end does not matter."""
    image, rank = call.image, _rank(call)
    if image.dim is None:
        return image
    position = rank + image.dim
    axes = call.node.attributes.get("axes") or call.constant(3)
    starts = call.node.attributes.get("starts") or call.constant(1)
    steps = call.constant(4) or (1,) * len(starts or ())
    if starts is None:
        return image.broken(call.node, "its start depends on the size", dim=image.dim)
    where = [int(a) % rank for a in axes] if axes is not None else list(range(len(starts)))
    if position not in where:
        return image
    start, step = int(starts[where.index(position)]), int(steps[where.index(position)])
    if start < 0 or step < 1:
        return image.broken(call.node, "it counts from the far end", dim=image.dim)
    return image.through(reach.window(1, step, 1, -start))


def _axes(call: Call, default: range) -> tuple[int, ...]:
    if "axes" in call.node.attributes:
        return tuple(call.node.attributes["axes"])
    if "axis" in call.node.attributes:
        return (call.node.attributes["axis"],)
    given = call.constant(1)
    return tuple(int(axis) for axis in given) if given else tuple(default)


def _rank(call: Call) -> int:
    index = next(i for i, field in enumerate(call.fields) if field is not None)
    return len(call.small[call.node.inputs[index]].shape)


_POINTWISE = """
    Abs Acos Add And Asin Atan BatchNormalization BitShift Cast CastLike Ceil Celu Clip Cos
    DequantizeLinear Div Dropout Elu Equal Erf Exp Expand Floor Gelu Greater GreaterOrEqual
    HardSigmoid HardSwish Identity IsInf IsNaN LRN LeakyRelu Less LessOrEqual Log Max Mean Min Mish
    Mod Mul Neg Not Or PRelu Pow QuantizeLinear Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin
    Softplus Softsign Sqrt Sub Sum Tan Tanh ThresholdedRelu Where Xor
""".split()
_REDUCTIONS = """
    ArgMax ArgMin ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin
    ReduceProd ReduceSum ReduceSumSquare
""".split()

RULES: Mapping[str, Rule] = (
    dict.fromkeys(_POINTWISE, pointwise)
    | dict.fromkeys(("Conv", "MaxPool", "AveragePool", "LpPool"), windowed)
    | dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"), pooled_globally)
    | dict.fromkeys(_REDUCTIONS, reduced)
    | dict.fromkeys(
        ("InstanceNormalization", "GroupNormalization", "MeanVarianceNormalization"), normalised
    )
    | dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax"), soft_over_axis)
    | dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), reshaped)
    | dict.fromkeys(("MatMul", "Gemm"), multiplied)
    | dict.fromkeys(("Resize", "Upsample"), resized)
    | {
        "Concat": joined,
        "ConvTranspose": transposed,
        "DepthToSpace": shuffled,
        "Gather": gathered,
        "LayerNormalization": layer_normalised,
        "Pad": padded,
        "Slice": sliced,
        "SpaceToDepth": unshuffled,
        "Split": divided,
        "Transpose": moved,
    }
)
