"""What must hold before an operator runs, and ONNX's shape rules do not say or say in jargon.

ONNX rounds a window that is larger than its padded input to one output instead of none, and
reports a failed merge in the words of its type unifier. A row here says it for people.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod

from anyres_analyzer.graph.graph import Node
from anyres_analyzer.graph.window import window_of
from anyres_analyzer.shapes.tensor import Tensor

Inputs = Sequence[Tensor | None]


def why_impossible(node: Node, inputs: Inputs) -> str | None:
    """Why these inputs cannot go through this node; None where nothing speaks against it."""
    check = CHECKS.get(node.op_type)
    return check(node, inputs) if check and inputs and inputs[0] is not None else None


def _window_fits(node: Node, inputs: Inputs) -> str | None:
    image = _present(inputs[0])
    weight = inputs[1] if len(inputs) > 1 else None
    for axis in range(len(image.shape) - 2):
        window = window_of(node, axis, weight.shape if weight is not None else None)
        available = image.shape[2 + axis] + window.pad_before + window.pad_after
        overhang = window.stride - 1 if node.attributes.get("ceil_mode", 0) else 0
        if window.extent > available + overhang and not window.same:
            return (
                f"its window spans {window.extent} pixels, padding included there are {available}"
            )
    return None


def _channels_agree(node: Node, inputs: Inputs) -> str | None:
    image, weight = _present(inputs[0]), _present(inputs[1])
    if len(weight.shape) != len(image.shape):
        return f"its weights have {len(weight.shape)} dimensions, this map has {len(image.shape)}"
    needed = weight.shape[1] * node.attributes.get("group", 1)
    if image.shape[1] != needed:
        return f"its weights take {needed} channels, this map has {image.shape[1]}"
    return _window_fits(node, inputs)


def _reaches_its_shape(node: Node, inputs: Inputs) -> str | None:
    """Of what it paints, ConvTranspose cuts to `output_shape`; it adds less than a stride."""
    image, weight = _present(inputs[0]), _present(inputs[1])
    for axis, wanted in enumerate(node.attributes.get("output_shape") or ()):
        window = window_of(node, axis, weight.shape)
        painted = window.stride * image.shape[2 + axis] + window.extent - 1
        if painted < wanted:
            return f"it paints {painted} cells of the {wanted} that it is to make"
    return None


def _product_agrees(node: Node, inputs: Inputs) -> str | None:
    left, right = _present(inputs[0]), _present(inputs[1])
    ranks = len(left.shape), len(right.shape)
    if ranks != (2, 2):
        return f"it multiplies matrices, and is given tensors of {_listed(ranks)} dimensions"
    given = left.shape[0 if node.attributes.get("transA", 0) else 1]
    needed = right.shape[1 if node.attributes.get("transB", 0) else 0]
    return _contracts(needed, given) if given != needed else None


def _matrices_agree(node: Node, inputs: Inputs) -> str | None:
    left, right = _present(inputs[0]).shape, _present(inputs[1]).shape
    if len(left) < 1 or len(right) < 2 or left[-1] == right[-2]:
        return None
    return _contracts(right[-2], left[-1])


def _contracts(needed: int, given: int) -> str:
    return f"its weights contract {needed} values, this size gives {given}"


def _joins_agree(node: Node, inputs: Inputs) -> str | None:
    shapes = [tensor.shape for tensor in inputs if tensor is not None]
    if len({len(shape) for shape in shapes}) > 1:
        return f"it joins maps of different ranks: {_listed([len(shape) for shape in shapes])}"
    axis = node.attributes["axis"] % len(shapes[0])
    for dim, sizes in enumerate(zip(*shapes, strict=True)):
        if dim != axis and len(set(sizes)) > 1:
            return f"it joins maps of different sizes: {_listed(sizes)}"
    return None


def _broadcasts(node: Node, inputs: Inputs) -> str | None:
    shapes = [tensor.shape[::-1] for tensor in inputs if tensor is not None]
    for dim in range(max(map(len, shapes))):
        sizes = [shape[dim] for shape in shapes if dim < len(shape) and shape[dim] != 1]
        if len(set(sizes)) > 1:
            return f"it meets maps of different sizes: {_listed(sizes)}"
    return None


def _mirrors_what_is_there(node: Node, inputs: Inputs) -> str | None:
    if node.attributes.get("mode", b"constant") != b"reflect":
        return None
    image = _present(inputs[0])
    pads = _pads(node, inputs)
    for size, before, after in zip(image.shape, *pads, strict=True):
        if max(before, after) >= size:
            return f"it mirrors {max(before, after)} pixels beside the border, this map has {size}"
    return None


def _pads(node: Node, inputs: Inputs) -> tuple[list[int], list[int]]:
    """The padding before and after each dimension; none where it is not known."""
    rank = len(_present(inputs[0]).shape)
    given = node.attributes.get("pads")
    if given is None:
        value = inputs[1].value if len(inputs) > 1 and inputs[1] is not None else None
        given = [] if value is None else value.tolist()
    axes = inputs[3].value if len(inputs) > 3 and inputs[3] is not None else None
    dims = range(len(given) // 2) if axes is None else [int(a) % rank for a in axes]
    before, after = [0] * rank, [0] * rank
    for index, dim in enumerate(dims):
        before[dim], after[dim] = given[index], given[index + len(given) // 2]
    return before, after


def _cuts_into_blocks(node: Node, inputs: Inputs) -> str | None:
    block, sizes = node.attributes["blocksize"], _present(inputs[0]).shape[2:]
    uneven = next((size for size in sizes if size % block), None)
    return f"it cuts blocks of {block} out of a map of {uneven}" if uneven else None


def _leaves_something(node: Node, inputs: Inputs) -> str | None:
    """ONNX infers nothing of a Resize to no pixels."""
    sizes = inputs[3].value if len(inputs) > 3 and inputs[3] is not None else None
    if sizes is None or (sizes > 0).all():
        return None
    return f"it resizes to {' x '.join(map(str, sizes.tolist()))}"


def _values_fill_the_shape(node: Node, inputs: Inputs) -> str | None:
    """ONNX does not count where no dimension is left open."""
    image = _present(inputs[0])
    shape = node.attributes.get("shape")  # before opset 5
    if shape is None:
        target = inputs[1].value if len(inputs) > 1 and inputs[1] is not None else None
        shape = [] if target is None else target.reshape(-1).tolist()
    copies = not node.attributes.get("allowzero", 0)
    wanted = prod(
        image.shape[dim] if size == 0 and copies and dim < len(image.shape) else size
        for dim, size in enumerate(shape)
        if size != -1
    )
    fits = image.elements % wanted == 0 if -1 in shape else image.elements == wanted
    if not shape or (wanted > 0 and fits):
        return None
    return f"it makes {list(shape)} out of {image.elements} values"


def _listed(sizes: Sequence[int]) -> str:
    return " and ".join(str(size) for size in dict.fromkeys(sizes))


def _present(tensor: Tensor | None) -> Tensor:
    assert tensor is not None, "a required input that ONNX's checker guarantees"
    return tensor


CHECKS: Mapping[str, Callable[[Node, Inputs], str | None]] = {
    "Conv": _channels_agree,
    "ConvTranspose": _reaches_its_shape,
    "MaxPool": _window_fits,
    "AveragePool": _window_fits,
    "LpPool": _window_fits,
    "Gemm": _product_agrees,
    "MatMul": _matrices_agree,
    "Concat": _joins_agree,
    "Pad": _mirrors_what_is_there,
    "Reshape": _values_fill_the_shape,
    "Resize": _leaves_something,
    "SpaceToDepth": _cuts_into_blocks,
} | dict.fromkeys(
    "Add Sub Mul Div Pow Max Min Mean Sum Where Equal Greater Less And Or PRelu".split(),
    _broadcasts,
)
