"""What must hold before an operator runs, and ONNX's shape rules do not say or say in jargon.

ONNX rounds a window that is larger than its padded input to one output instead of none, and
reports a failed merge in the words of its type unifier. A row here says it for people.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from anyres_analyzer.errors import Inadmissible
from anyres_analyzer.graph import Node
from anyres_analyzer.tensor import Tensor
from anyres_analyzer.window import window_of

Inputs = Sequence[Tensor | None]


def refuse_impossible(node: Node, inputs: Inputs) -> None:
    """Raise `Inadmissible` where these inputs cannot go through this node."""
    check = CHECKS.get(node.op_type)
    if check is not None and inputs and inputs[0] is not None:
        check(node, inputs)


def _window_fits(node: Node, inputs: Inputs) -> None:
    image = _present(inputs[0])
    weight = inputs[1] if len(inputs) > 1 else None
    for axis in range(len(image.shape) - 2):
        window = window_of(node, axis, weight.shape if weight is not None else None)
        available = image.shape[2 + axis] + window.pad_before + window.pad_after
        if window.extent > available and not window.same:
            raise Inadmissible(
                node.label,
                f"its window spans {window.extent} pixels, padding included there are {available}",
            )


def _product_agrees(node: Node, inputs: Inputs) -> None:
    left, right = _present(inputs[0]), _present(inputs[1])
    given = left.shape[0 if node.attributes.get("transA", 0) else 1]
    needed = right.shape[1 if node.attributes.get("transB", 0) else 0]
    if given != needed:
        raise Inadmissible(
            node.label, f"its weights contract {needed} values, this size gives {given}"
        )


def _joins_agree(node: Node, inputs: Inputs) -> None:
    shapes = [tensor.shape for tensor in inputs if tensor is not None]
    axis = node.attributes["axis"] % len(shapes[0])
    for dim, sizes in enumerate(zip(*shapes, strict=True)):
        if dim != axis and len(set(sizes)) > 1:
            raise Inadmissible(node.label, f"it joins maps of different sizes: {_listed(sizes)}")


def _broadcasts(node: Node, inputs: Inputs) -> None:
    shapes = [tensor.shape[::-1] for tensor in inputs if tensor is not None]
    for dim in range(max(map(len, shapes))):
        sizes = [shape[dim] for shape in shapes if dim < len(shape) and shape[dim] != 1]
        if len(set(sizes)) > 1:
            raise Inadmissible(node.label, f"it meets maps of different sizes: {_listed(sizes)}")


def _listed(sizes: Sequence[int]) -> str:
    return " and ".join(str(size) for size in dict.fromkeys(sizes))


def _present(tensor: Tensor | None) -> Tensor:
    assert tensor is not None, "a required input that ONNX's checker guarantees"
    return tensor


CHECKS: dict[str, Callable[[Node, Inputs], None]] = {
    "Conv": _window_fits,
    "MaxPool": _window_fits,
    "AveragePool": _window_fits,
    "LpPool": _window_fits,
    "Gemm": _product_agrees,
    "Concat": _joins_agree,
    "Add": _broadcasts,
    "Sub": _broadcasts,
    "Mul": _broadcasts,
    "Div": _broadcasts,
}
