"""Which node of a graph stops being the model, at a size where the two disagree.

torch's exporter writes into each node the module that it comes from. So the output of every module,
caught by hooks in eager, can be compared with the tensor that its last node makes, in the order in
which the modules run: the first that differs is where the graph went wrong.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from anyres_exporter.errors import DoesNotRun
from anyres_exporter.proof.compare import Comparison, noise
from anyres_exporter.proof.difference import Array, difference
from anyres_exporter.rewrite.any_size import AnySize
from anyres_exporter.runtime import Runtime

_SCOPES = "pkg.torch.onnx.name_scopes"
_RUNTIME_NODE = re.compile(r"while running (\w+) node\. Name:'([^']*)'")


def find(
    model: nn.Module, graph: onnx.ModelProto, comparison: Comparison, channels: int
) -> str | None:
    """The node that fails or first differs, and its module; None where none can be told."""
    named = _RUNTIME_NODE.search(comparison.failure)
    if named:
        return _label(next(node for node in graph.graph.node if node.name == named[2]), model)
    image = noise(comparison.batch, channels, comparison.height, comparison.width)
    expected = _module_outputs(model, torch.from_numpy(image))
    last_good = -1
    for index, node, module in _last_nodes(graph, list(expected)):
        if not _equal(graph, node.output[0], image, expected[module]):
            return _label(_suspect(graph, last_good, index), model)
        last_good = index
    return None


def _label(node: onnx.NodeProto, model: nn.Module) -> str:
    """The node as a viewer shows it, and the module of the model that it comes from."""
    modules = _modules(model)
    inner = [scope for scope in _scopes(node) if scope and scope in modules]
    whence = f" of module '{inner[-1]}' ({type(modules[inner[-1]]).__name__})" if inner else ""
    return f"'{node.name}' ({node.op_type}){whence}"


def _suspect(graph: onnx.ModelProto, good: int, bad: int) -> onnx.NodeProto:
    """Between a right and a wrong tensor: the node that gathers, if any; else the wrong one."""
    between = graph.graph.node[good + 1 : bad + 1]
    movers = [node for node in between if node.op_type in ("GatherND", "Gather", "Resize")]
    return movers[0] if movers else between[-1]


def _module_outputs(model: nn.Module, image: Tensor) -> dict[str, Array]:
    """The output of every leaf module that runs, in order of running."""
    outputs: dict[str, Array] = {}

    def remember(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                outputs[name] = output.detach().numpy()

        return hook

    leaves = [(name, m) for name, m in _modules(model).items() if not any(m.children())]
    handles = [m.register_forward_hook(remember(name)) for name, m in leaves]
    try:
        with torch.inference_mode():
            model(image)
    finally:
        for handle in handles:
            handle.remove()
    return outputs


def _modules(model: nn.Module) -> dict[str, nn.Module]:
    """The modules by the names that the trace saw: those of the network inside a padded one."""
    network = model.network if isinstance(model, AnySize) else model
    return {name: module for name, module in network.named_modules() if name}


def _last_nodes(
    graph: onnx.ModelProto, modules: list[str]
) -> list[tuple[int, onnx.NodeProto, str]]:
    """For each module the last node that comes from it, in graph order."""
    last: dict[str, tuple[int, onnx.NodeProto]] = {}
    for index, node in enumerate(graph.graph.node):
        for module in _scopes(node):
            if module in modules:
                last[module] = (index, node)
    found = [(index, node, module) for module, (index, node) in last.items()]
    return sorted(found, key=lambda entry: entry[0])


def _scopes(node: onnx.NodeProto) -> list[str]:
    text = next((entry.value for entry in node.metadata_props if entry.key == _SCOPES), "[]")
    return [str(scope) for scope in ast.literal_eval(text)]


def _equal(graph: onnx.ModelProto, tensor: str, image: Array, expected: Array) -> bool:
    """Whether the graph, cut at this tensor, gives what the module gave."""
    cut = onnx.ModelProto()
    cut.CopyFrom(graph)
    del cut.graph.output[:]
    cut.graph.output.append(onnx.ValueInfoProto(name=tensor))
    try:
        actual = Runtime(cut)(image)[tensor]
    except DoesNotRun:
        return False
    return difference(tensor, expected, actual).agrees
