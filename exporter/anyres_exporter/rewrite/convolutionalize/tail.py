"""Where the tail of a classifier begins, and what each of its tensors becomes.

From the outputs back to the last maps: tensors in which H and W are still axes in their places, and
the pool over the whole map is yet to come (an AveragePool of 7x7 over 7x7 leaves a map too, of one
cell). Squeeze-and-excite is no tail: what it pools comes back to a map.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from anyres_analyzer.graph.graph import Node
from anyres_analyzer.graph.window import window_of
from anyres_exporter.rewrite.convolutionalize.affine_rules import TAKES_OWED
from anyres_exporter.rewrite.convolutionalize.call import Call, Pool
from anyres_exporter.rewrite.convolutionalize.graft import Graft
from anyres_exporter.rewrite.convolutionalize.refusal import NotConvertible, at
from anyres_exporter.rewrite.convolutionalize.rules import RULES
from anyres_exporter.rewrite.convolutionalize.source import Classifier
from anyres_exporter.rewrite.convolutionalize.view import View


def followed(source: Classifier, graft: Graft, pool: Pool) -> dict[str, View]:
    """The views of the last maps and of all tensors behind them.

    Raises:
        NotConvertible: a node of the tail has no counterpart in a convolutional graph; names it.
    """
    nodes = _tail(source)
    if not nodes:
        raise NotConvertible(
            "there is nothing to convolutionalize: its outputs are maps already, or do not depend "
            "on the image"
        )
    _refuse_attention(source, nodes)
    views: dict[str, View] = {}
    made = {name for node in nodes for name in node.made}
    for node in nodes:
        for name in node.inputs:
            if name and name not in made and source.sees_pixels(name):
                views.setdefault(name, _beginning(source, graft, name))
        given = tuple(views.get(name) for name in node.inputs)
        _refuse_unknown(source, node, given)
        view = RULES[node.op_type](Call(node, given, source, graft, pool))
        if view.shape != source.tensors[node.made[0]].shape:
            raise at(node.label, f"it makes {source.tensors[node.made[0]].shape}, not {view.shape}")
        views[node.made[0]] = view
    return views


def _beginning(source: Classifier, graft: Graft, name: str) -> View:
    """The view of a last map, or of the image itself, whose channels may come last."""
    shape = source.tensors[name].shape
    if source.is_map(name):
        return View.of_map(name, shape)
    turned = graft.node("Transpose", [name], name, perm=(0, 3, 1, 2))
    view = View.of_map(turned, tuple(shape[axis] for axis in (0, 3, 1, 2)))
    return replace(view, dims=tuple(view.dims[axis] for axis in (0, 2, 3, 1)), root=name)


def _tail(source: Classifier) -> list[Node]:
    """The nodes between the last maps and the outputs, in order."""
    names = [o.name for o in source.graph.outputs if source.sees_pixels(o.name)]
    waiting = [name for name in names if not _is_last_map(source, name)]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        inputs = source.makers[name].inputs
        waiting += [
            n for n in inputs if n and source.sees_pixels(n) and not _is_last_map(source, n)
        ]
    return [node for node in source.graph.nodes if seen.intersection(node.made)]


def _is_last_map(source: Classifier, name: str) -> bool:
    if name == source.graph.image.name:
        return True
    if not source.is_map(name):
        return False
    return source.tensors[name].shape[2:] != (1, 1) or not _behind_whole_pool(source, name)


def _behind_whole_pool(source: Classifier, name: str) -> bool:
    """Whether a map of one cell comes from an average over the whole of one of several."""
    for node in _back(source, name):
        before = source.tensors[node.inputs[0]].shape
        if before[2:] != (1, 1):
            return node.op_type == "AveragePool" and _is_whole(node, before)
        if node.op_type not in RULES:
            return False
    return False


def _back(source: Classifier, name: str) -> Iterator[Node]:
    """The nodes that made a tensor, along their first inputs, while these are maps."""
    while name in source.makers:
        node = source.makers[name]
        if not (node.inputs and node.inputs[0] and source.sees_pixels(node.inputs[0])):
            return
        if not source.is_map(node.inputs[0]):
            return
        yield node
        name = node.inputs[0]


def _is_whole(node: Node, shape: tuple[int, ...]) -> bool:
    windows = [window_of(node, axis) for axis in (0, 1)]
    return all(
        window.taps == extent and not (window.pad_before or window.pad_after or window.same)
        for window, extent in zip(windows, shape[2:], strict=True)
    )


def _refuse_attention(source: Classifier, nodes: list[Node]) -> None:
    for node in nodes:
        seen = sum(bool(name) and source.sees_pixels(name) for name in node.inputs)
        if node.op_type == "Attention" or (node.op_type in ("MatMul", "Gemm") and seen > 1):
            raise at(
                node.label,
                "it multiplies the map with itself (attention), so every answer sees the whole "
                "image; a transformer has no head that could slide",
            )


def _refuse_unknown(source: Classifier, node: Node, views: tuple[View | None, ...]) -> None:
    if node.op_type not in RULES:
        why = _WITHOUT_ROW.get(node.op_type, f"no convolution stands for operator {node.op_type}")
        raise at(node.label, why)
    owed = next((view.owed for view in views if view is not None and view.owed), None)
    seen = sum(view is not None for view in views)
    if owed and (node.op_type not in TAKES_OWED or seen > 1):
        raise at(owed.node, "it has numbers of its own for every cell, and no layer takes them")
    for name, view in zip(node.inputs, views, strict=True):
        if name and view is None and source.sees_pixels(name):
            raise at(node.label, f"nothing is known of '{name}', a further output of another node")


_QUANTIZED = "it rounds what it is given; convert the float32 model, and make that faster"
_WITHOUT_ROW = {
    "DequantizeLinear": _QUANTIZED,
    "GatherND": "it picks cells whose places an export worked out from the traced size, as it does "
    "for an adaptive pool to several cells",
    "QuantizeLinear": _QUANTIZED,
}
