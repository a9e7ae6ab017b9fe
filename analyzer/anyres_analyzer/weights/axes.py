"""Which dimensions of a tensor hold the image's pixels.

What a weight is for shows in what it contracts, and after a few transposes and reshapes that is no
longer the dimension it looks like: a transformer's (n, h*w, c) has its pixels in the middle. So
every dimension carries the image axes, 0 for H and 1 for W, that its positions count:

    (n, c, h, w)   ->   {} {} {H} {W}        Flatten        ->   {} {H, W}
    (n, h*w, c)    ->   {} {H, W} {}         after pooling  ->   {} {} {} {}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from typing import NamedTuple, TypeAlias

from anyres_analyzer.graph.graph import Graph, Node
from anyres_analyzer.shapes.tensor import Tensor, Tensors

Axes: TypeAlias = tuple[frozenset[int], ...]  # for each dimension
NO_AXES: frozenset[int] = frozenset()


class _Operand(NamedTuple):
    axes: Axes
    tensor: Tensor


def axes_of(graph: Graph, tensors: Tensors) -> dict[str, Axes]:
    """The axes of every tensor that depends on pixels."""
    found: dict[str, Axes] = {graph.image.name: (NO_AXES, NO_AXES, frozenset({0}), frozenset({1}))}
    for node in graph.nodes:
        if node.op_type in ("Shape", "Size") or not any(name in found for name in node.inputs):
            continue
        operands = [
            _Operand(found.get(name, (NO_AXES,) * len(tensors[name].shape)), tensors[name])
            for name in node.inputs
            if name
        ]
        rule = _RULES.get(node.op_type, _broadcast)
        for name in node.made:
            axes = rule(node, operands, tensors[name].shape)
            rank = len(tensors[name].shape)
            found[name] = axes if len(axes) == rank else (NO_AXES,) * rank
    return found


def _broadcast(node: Node, operands: Sequence[_Operand], shape: Sequence[int]) -> Axes:
    """Elementwise, windows, joins: each dimension stays where it is, counted from the last."""
    aligned = zip_longest(*(reversed(operand.axes) for operand in operands), fillvalue=NO_AXES)
    return tuple(frozenset().union(*axes) for axes in aligned)[::-1]


def _first(node: Node, operands: Sequence[_Operand], shape: Sequence[int]) -> Axes:
    return operands[0].axes


def _pooled(node: Node, operands: Sequence[_Operand], shape: Sequence[int]) -> Axes:
    """An axis of which one value is left is gone."""
    before = operands[0]
    return tuple(
        NO_AXES if now == 1 < was else axes
        for axes, was, now in zip(before.axes, before.tensor.shape, shape, strict=True)
    )


def _pooled_globally(node: Node, operands: Sequence[_Operand], shape: Sequence[int]) -> Axes:
    return (NO_AXES,) * len(shape)


def _reduced(node: Node, operands: Sequence[_Operand], shape: Sequence[int]) -> Axes:
    if node.attributes.get("keepdims", 1):
        return _pooled(node, operands, shape)
    axes, rank = operands[0].axes, len(operands[0].axes)
    gone = {dim % rank for dim in _dims(node, operands) or range(rank)}
    return tuple(own for dim, own in enumerate(axes) if dim not in gone)


def _dims(node: Node, operands: Sequence[_Operand]) -> list[int]:
    """The dimensions that a node names, in an attribute or an input."""
    if node.op_type in ("ArgMax", "ArgMin"):
        return [int(node.attributes.get("axis", 0))]
    given = node.attributes.get("axes")
    if given is None and len(operands) > 1 and operands[1].tensor.value is not None:
        given = operands[1].tensor.value.reshape(-1).tolist()
    return [int(dim) for dim in given or ()]


def _transposed(node: Node, operands: Sequence[_Operand], shape: Sequence[int]) -> Axes:
    axes = operands[0].axes
    return tuple(axes[dim] for dim in node.attributes.get("perm") or reversed(range(len(axes))))


def _reshaped(node: Node, operands: Sequence[_Operand], shape: Sequence[int]) -> Axes:
    """Dimensions in groups of equal products: what was split or merged keeps its axes."""
    before, after = list(operands[0].tensor.shape), list(shape)
    own = list(operands[0].axes)
    axes: list[frozenset[int]] = []
    while before and after:
        if before[0] == after[0]:
            axes.append(own.pop(0))
            del before[0], after[0]
            continue
        merged, split = [before.pop(0)], [after.pop(0)]
        met = _of(merged[0], own.pop(0))
        while _product(merged) != _product(split) and (before or after):
            if _product(merged) < _product(split) and before:
                merged.append(before.pop(0))
                met |= _of(merged[-1], own.pop(0))
            elif after:
                split.append(after.pop(0))
            else:
                break
        axes += [_of(size, met) for size in split]
    return (*axes, *(NO_AXES for _ in after))


def _of(size: int, axes: frozenset[int]) -> frozenset[int]:
    """A single position counts nothing."""
    return axes if size > 1 else NO_AXES


def _product(sizes: Sequence[int]) -> int:
    product = 1
    for size in sizes:
        product *= size
    return product


def _gathered(node: Node, operands: Sequence[_Operand], shape: Sequence[int]) -> Axes:
    axes, indices = operands[0].axes, operands[1].tensor.shape
    axis = node.attributes.get("axis", 0) % len(axes)
    return (*axes[:axis], *[axes[axis]] * len(indices), *axes[axis + 1 :])


def _multiplied(node: Node, operands: Sequence[_Operand], shape: Sequence[int]) -> Axes:
    factors = [operands[index] for index in FACTORS[node.op_type]]
    sides = zip(factors, "AB", strict=True)
    left, right = (_swapped(node, operand.axes, side) for operand, side in sides)
    if min(len(left), len(right)) < 2:
        return (*left[:-1], *right[1:])
    batch = zip_longest(left[-3::-1], right[-3::-1], fillvalue=NO_AXES)
    return (*[a | b for a, b in batch][::-1], left[-2], right[-1])


def _swapped(node: Node, axes: Axes, side: str) -> Axes:
    return axes[::-1] if node.attributes.get(f"trans{side}", 0) else axes


# The inputs that a product multiplies.
FACTORS: Mapping[str, tuple[int, int]] = {
    "Gemm": (0, 1),
    "MatMul": (0, 1),
    "MatMulInteger": (0, 1),
    "QLinearMatMul": (0, 3),
}

_Rule: TypeAlias = Callable[[Node, Sequence[_Operand], Sequence[int]], Axes]
_RULES: Mapping[str, _Rule] = (
    dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), _reshaped)
    | dict.fromkeys(("AveragePool", "MaxPool", "LpPool"), _pooled)
    | dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"), _pooled_globally)
    | dict.fromkeys(
        "ArgMax ArgMin ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean "
        "ReduceMin ReduceProd ReduceSum ReduceSumSquare".split(),
        _reduced,
    )
    | dict.fromkeys(
        "Conv ConvTranspose ConvInteger QLinearConv Resize Upsample Pad Slice Split TopK".split(),
        _first,
    )
    | dict.fromkeys(FACTORS, _multiplied)
    | {"Gather": _gathered, "Transpose": _transposed}
)
