"""Which dimensions of a tensor hold the image's pixels.

What a weight is for shows in what it contracts, and after a few transposes and reshapes that is no
longer the dimension it looks like: a transformer's (n, h*w, c) has its pixels in the middle. So
every dimension carries the image axes, 0 for H and 1 for W, that its positions count:

    (n, c, h, w)   ->   {} {} {H} {W}        Flatten        ->   {} {H, W}
    (n, h*w, c)    ->   {} {H, W} {}         after pooling  ->   {} {} {} {}

A dimension is kept as the factors that its size is a product of, outermost first, so that what one
reshape merges another takes apart again: a group norm's (n, g, c/g*h*w) is (n, c, h, w) afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import zip_longest
from math import gcd, prod
from typing import NamedTuple, TypeAlias

from anyres_analyzer.graph.graph import Graph, Node
from anyres_analyzer.shapes.tensor import Tensor, Tensors

Axes: TypeAlias = tuple[frozenset[int], ...]  # for each dimension
NO_AXES: frozenset[int] = frozenset()


class _Factor(NamedTuple):
    size: int
    axes: frozenset[int] = NO_AXES


_Dim: TypeAlias = tuple[_Factor, ...]
_Dims: TypeAlias = tuple[_Dim, ...]


class _Operand(NamedTuple):
    dims: _Dims
    tensor: Tensor


def axes_of(graph: Graph, tensors: Tensors) -> dict[str, Axes]:
    """The axes of every tensor that depends on pixels."""
    found: dict[str, _Dims] = {graph.image.name: _of_image(graph, tensors)}
    for node in graph.nodes:
        if node.op_type in ("Shape", "Size") or not any(name in found for name in node.inputs):
            continue
        operands = [
            _Operand(found.get(name) or _plain(tensors[name].shape), tensors[name])
            for name in node.inputs
            if name
        ]
        rule = _RULES.get(node.op_type, _broadcast)
        for name in node.made:
            shape = tensors[name].shape
            dims = rule(node, operands, shape)
            resized = (_sized(dim, size) for dim, size in zip(dims, shape, strict=False))
            found[name] = tuple(resized) if len(dims) == len(shape) else _plain(shape)
    return {name: tuple(map(_axes, dims)) for name, dims in found.items()}


def _of_image(graph: Graph, tensors: Tensors) -> _Dims:
    dims = list(_plain(tensors[graph.image.name].shape))
    for axis, side in enumerate(graph.layout.sides):
        dims[side] = (_Factor(dims[side][0].size, frozenset({axis})),)
    return tuple(dims)


def _plain(shape: Sequence[int]) -> _Dims:
    return tuple((_Factor(size),) for size in shape)


def _axes(dim: _Dim) -> frozenset[int]:
    return frozenset().union(*(factor.axes for factor in dim))


def _sized(dim: _Dim, size: int) -> _Dim:
    """A dimension after a node: its factors where it is as long as before, else one."""
    return dim if prod(factor.size for factor in dim) == size else (_Factor(size, _axes(dim)),)


def _broadcast(node: Node, operands: Sequence[_Operand], shape: Sequence[int]) -> _Dims:
    """Elementwise, joins: each dimension stays where it is, counted from the last."""
    aligned = zip_longest(*(reversed(operand.dims) for operand in operands), fillvalue=())
    return tuple(_met(dims) for dims in aligned)[::-1]


def _met(dims: Iterable[_Dim]) -> _Dim:
    """One dimension of several operands: the first that has pixels."""
    present = [dim for dim in dims if dim]
    return next((dim for dim in present if _axes(dim)), present[0])


def _first(node: Node, operands: Sequence[_Operand], shape: Sequence[int]) -> _Dims:
    return operands[0].dims


def _pooled(node: Node, operands: Sequence[_Operand], shape: Sequence[int]) -> _Dims:
    """An axis of which one value is left is gone."""
    before = operands[0]
    return tuple(
        (_Factor(1),) if now == 1 < was else dim
        for dim, was, now in zip(before.dims, before.tensor.shape, shape, strict=True)
    )


def _pooled_globally(node: Node, operands: Sequence[_Operand], shape: Sequence[int]) -> _Dims:
    return _plain(shape)


def _reduced(node: Node, operands: Sequence[_Operand], shape: Sequence[int]) -> _Dims:
    if node.attributes.get("keepdims", 1):
        return _pooled(node, operands, shape)
    dims = operands[0].dims
    gone = {dim % len(dims) for dim in _named(node, operands) or range(len(dims))}
    return tuple(own for dim, own in enumerate(dims) if dim not in gone)


def _named(node: Node, operands: Sequence[_Operand]) -> list[int]:
    """The dimensions that a node names, in an attribute or an input."""
    if node.op_type in ("ArgMax", "ArgMin"):
        return [int(node.attributes.get("axis", 0))]
    given = node.attributes.get("axes")
    if given is None and len(operands) > 1 and operands[1].tensor.value is not None:
        given = operands[1].tensor.value.reshape(-1).tolist()
    return [int(dim) for dim in given or ()]


def _transposed(node: Node, operands: Sequence[_Operand], shape: Sequence[int]) -> _Dims:
    dims = operands[0].dims
    return tuple(dims[dim] for dim in node.attributes.get("perm") or reversed(range(len(dims))))


def _reshaped(node: Node, operands: Sequence[_Operand], shape: Sequence[int]) -> _Dims:
    """The factors in their order, dealt out anew."""
    dims = operands[0].dims
    if operands[0].tensor.shape == tuple(shape):
        return dims
    left = [factor for dim in dims for factor in dim if factor.size > 1]
    dealt = []
    for size in shape:
        taken = _taken(left, size)
        if taken is None:  # sizes that do not divide: pixels may be anywhere
            everywhere = frozenset().union(*map(_axes, dims))
            return tuple((_Factor(size, everywhere),) for size in shape)
        dealt.append(taken)
    return tuple(dealt)


def _taken(left: list[_Factor], size: int) -> _Dim | None:
    """Factors from the front of `left` whose product is `size`; the last may be split."""
    taken: list[_Factor] = []
    while size > 1:
        if not left or gcd(left[0].size, size) not in (left[0].size, size):
            return None
        factor = left.pop(0)
        part = gcd(factor.size, size)
        taken.append(_Factor(part, factor.axes))
        if part < factor.size:
            left.insert(0, _Factor(factor.size // part, factor.axes))
        size //= part
    return tuple(taken) or (_Factor(1),)


def _gathered(node: Node, operands: Sequence[_Operand], shape: Sequence[int]) -> _Dims:
    dims, indices = operands[0].dims, operands[1].tensor.shape
    axis = node.attributes.get("axis", 0) % len(dims)
    return (*dims[:axis], *[dims[axis]] * len(indices), *dims[axis + 1 :])


def _multiplied(node: Node, operands: Sequence[_Operand], shape: Sequence[int]) -> _Dims:
    factors = [operands[index] for index in FACTORS[node.op_type]]
    sides = zip(factors, "AB", strict=True)
    left, right = (_swapped(node, operand.dims, side) for operand, side in sides)
    if min(len(left), len(right)) < 2:
        return (*left[:-1], *right[1:])
    batch = zip_longest(left[-3::-1], right[-3::-1], fillvalue=())
    return (*[_met(dims) for dims in batch][::-1], left[-2], right[-1])


def _swapped(node: Node, dims: _Dims, side: str) -> _Dims:
    return dims[::-1] if node.attributes.get(f"trans{side}", 0) else dims


# The inputs that a product multiplies.
FACTORS: Mapping[str, tuple[int, int]] = {
    "Gemm": (0, 1),
    "MatMul": (0, 1),
    "MatMulInteger": (0, 1),
    "QLinearMatMul": (0, 3),
}

_Rule: TypeAlias = Callable[[Node, Sequence[_Operand], Sequence[int]], _Dims]
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
