"""Which node of a graph stops being the model, at a size where the two disagree.

The outputs of the model's modules, caught by hooks in eager, are looked for in the graph; the first
in the order of running that is not there any more is where the graph went wrong. Which tensor of
the graph is a module's is known in one of two ways:

    by value   at a size where the two agree, it is the tensor with the module's numbers; this works
               for anybody's graph, and for layers that were fused
    by scope   torch's exporter writes into each node the module that it comes from

Between the tensors that are right and the first that is wrong a few nodes are left. Of those the
first that works on pixels, not on sizes, is named.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import onnx
import torch
from torch import Tensor, nn

from anyres_exporter.errors import DoesNotRun
from anyres_exporter.proof.compare import Comparison, noise
from anyres_exporter.proof.difference import Array, difference
from anyres_exporter.proof.sizes import Size
from anyres_exporter.rewrite.any_size import AnySize
from anyres_exporter.runtime import Runtime
from anyres_exporter.trace.outputs import named

_SCOPES = "pkg.torch.onnx.name_scopes"
_RUNTIME_NODE = re.compile(r"while running (\w+) node\. Name:'([^']+)'")
_OUTPUT, _GIVEN = "output ", "the image"  # no module's name has a space

Values: TypeAlias = Mapping[str, Array]


def find(
    model: nn.Module,
    graph: onnx.ModelProto,
    comparison: Comparison,
    channels: int,
    *,
    agreed: Size | None = None,
) -> str | None:
    """The node that fails or first differs, and its module; None where none can be told.

    Args:
        model: the original.
        graph: what was to be it.
        comparison: of a size where it is not.
        channels: of the image.
        agreed: a size where it is, if one is known.
    """
    image = _image((comparison.batch, comparison.height, comparison.width), channels)
    if "while running" in comparison.failure:
        node = _stopping(graph, image)
        return _label(node, _module_by_scope(node, model), model) if node else None
    try:
        expected, actual = _module_outputs(model, image), _tensors(graph, image)
        tensors = _by_scope(graph, expected)
        if agreed is not None or not tensors:
            known = image if agreed is None else _image(agreed, channels)
            tensors = _by_value(model, graph, known)
    except DoesNotRun:
        return None
    return _first_wrong(model, graph, expected, actual, _outputs(graph, expected) | tensors)


def _image(size: Size, channels: int) -> Array:
    batch, height, width = size
    return noise(batch, channels, height, width)


def _stopping(graph: onnx.ModelProto, image: Array) -> onnx.NodeProto | None:
    """The node that ONNX Runtime stops at, nodes without a name being called by their output."""
    every = onnx.ModelProto()
    every.CopyFrom(graph)
    for node in every.graph.node:
        node.name = node.name or node.output[0]
    try:
        Runtime(every)(image)
    except DoesNotRun as error:
        stopped = _RUNTIME_NODE.search(str(error))
        name = stopped[2] if stopped else None
        return next((node for node in every.graph.node if node.name == name), None)
    return None


def _first_wrong(
    model: nn.Module,
    graph: onnx.ModelProto,
    expected: Values,
    actual: Values,
    tensors: Mapping[str, str],
) -> str | None:
    """The culprit, from what the modules and the tensors of the graph answer at the bad size."""
    right = {tensor for value in expected.values() if (tensor := _holding(value, actual))}
    pixels = _pixels(graph)
    for module, value in expected.items():
        tensor = tensors.get(module)
        if tensor not in pixels or tensor in right:  # a fused layer holds what the last of it gave
            continue
        if not difference(tensor, value, actual[tensor]).agrees:
            node = _suspect(graph, tensor, right)
            made_by = module if tensor in node.output else None
            return _label(node, _module_by_scope(node, model) or made_by, model)
    return None


def _label(node: onnx.NodeProto, module: str | None, model: nn.Module) -> str:
    """The node as a viewer shows it, and the module of the model that it comes from."""
    found = _modules(model).get(module or "")
    whence = f" of module '{module}' ({type(found).__name__})" if found is not None else ""
    return f"'{node.name or node.output[0]}' ({node.op_type}){whence}"


def _suspect(graph: onnx.ModelProto, wrong: str, right: set[str]) -> onnx.NodeProto:
    """The first node on pixels, of those that lead to a wrong tensor from right ones."""
    wanted, found = {wrong}, []
    for node in reversed(graph.graph.node):
        if not right.issuperset(wanted.intersection(node.output)):
            found.append(node)
            wanted.update(node.input)
    pixels = _pixels(graph)
    return next(node for node in reversed(found) if pixels.intersection(node.output))


def _pixels(graph: onnx.ModelProto) -> set[str]:
    """The tensors that depend on pixels, and not on the image's size alone."""
    weights = {tensor.name for tensor in graph.graph.initializer}
    found = {info.name for info in graph.graph.input} - weights
    for node in graph.graph.node:
        if node.op_type not in ("Shape", "Size") and found.intersection(node.input):
            found.update(node.output)
    return found


def _module_outputs(model: nn.Module, image: Array) -> dict[str, Array]:
    """The image that the network is given, every leaf module's output, then the model's own."""
    outputs: dict[str, Array] = {}

    def given(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        outputs.setdefault(_GIVEN, inputs[0].numpy().copy())

    def remember(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                outputs[name] = output.detach().numpy().copy()  # a later layer may write into it

        return hook

    leaves = [(name, m) for name, m in _modules(model).items() if not any(m.children())]
    handles = [m.register_forward_hook(remember(name)) for name, m in leaves]
    handles.append(_network(model).register_forward_pre_hook(given))
    try:
        with torch.inference_mode():
            last = named(model(torch.from_numpy(image)))
    except Exception as error:
        raise DoesNotRun(f"the model does not take it: {error}") from error
    finally:
        for handle in handles:
            handle.remove()
    return outputs | {f"{_OUTPUT}{name}": value.numpy() for name, value in last.items()}


def _modules(model: nn.Module) -> dict[str, nn.Module]:
    """The modules by the names that the trace saw."""
    return {name: module for name, module in _network(model).named_modules() if name}


def _network(model: nn.Module) -> nn.Module:
    """What was traced: of a padded one, the network inside."""
    return model.network if isinstance(model, AnySize) else model


def _by_value(model: nn.Module, graph: onnx.ModelProto, image: Array) -> dict[str, str]:
    """The first tensor of the graph that holds a module's output, for each that has one."""
    tensors = _tensors(graph, image)
    return {
        module: tensor
        for module, value in _module_outputs(model, image).items()
        if (tensor := _holding(value, tensors)) is not None
    }


def _holding(value: Array, tensors: Values) -> str | None:
    alike = (name for name, other in tensors.items() if other.shape == value.shape)
    return next((name for name in alike if difference(name, value, tensors[name]).agrees), None)


def _outputs(graph: onnx.ModelProto, expected: Values) -> dict[str, str]:
    """The model's own outputs, in the graph's order."""
    own = [name for name in expected if name.startswith(_OUTPUT)]
    return dict(zip(own, (info.name for info in graph.graph.output), strict=False))


def _by_scope(graph: onnx.ModelProto, modules: Iterable[str]) -> dict[str, str]:
    """For each module what the last node makes that comes from it."""
    known = set(modules)
    return {
        module: node.output[0]
        for node in graph.graph.node
        for module in _scopes(node)
        if module in known
    }


def _module_by_scope(node: onnx.NodeProto, model: nn.Module) -> str | None:
    inner = [scope for scope in _scopes(node) if scope in _modules(model)]
    return inner[-1] if inner else None


def _scopes(node: onnx.NodeProto) -> list[str]:
    text = next((entry.value for entry in node.metadata_props if entry.key == _SCOPES), "[]")
    return [str(scope) for scope in ast.literal_eval(text)]


def _tensors(graph: onnx.ModelProto, image: Array) -> dict[str, Array]:
    """Every tensor of the graph, in its order."""
    every = onnx.ModelProto()
    every.CopyFrom(graph)
    del every.graph.output[:]
    names = [name for node in graph.graph.node for name in node.output if name]
    every.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    return Runtime(every)(image)
