"""The classifier as it came, at its native size: every shape, every constant, and its maps."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.inliner
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import helper

from anyres_analyzer.errors import Inadmissible, NotAModel
from anyres_analyzer.field.field import Field
from anyres_analyzer.field.propagation import Samples, propagate
from anyres_analyzer.field.rules import RULES
from anyres_analyzer.graph.evaluation import evaluated
from anyres_analyzer.graph.graph import Graph, Node
from anyres_analyzer.graph.reading import load
from anyres_analyzer.shapes.tensor import Tensors
from anyres_analyzer.shapes.walk import ShapeWalk
from anyres_exporter.rewrite.convolutionalize.refusal import NotConvertible

Size = tuple[int, int]  # height, width


@dataclass(frozen=True)
class Classifier:
    """A classifier, the size (h, w) that it was made for, and every tensor at that size."""

    model: onnx.ModelProto = field(repr=False)
    graph: Graph = field(repr=False)
    size: Size
    tensors: Tensors = field(repr=False)

    @cached_property
    def fields(self) -> tuple[dict[str, Field], dict[str, Field]]:
        """How each tensor that depends on pixels sees H and W."""
        samples = Samples(self.tensors, self.tensors, self.tensors)
        height, width = (propagate(self.graph, axis, samples, RULES) for axis in (0, 1))
        return height, width

    def sees_pixels(self, tensor: str) -> bool:
        """Whether a tensor depends on the image, and not on its size alone."""
        return tensor in self.fields[0] or tensor in self.fields[1]

    def is_map(self, tensor: str) -> bool:
        """Whether a tensor is (n, c, h, w) with both axes of the image in their places."""
        dims = tuple(f[tensor].dim if tensor in f else None for f in self.fields)
        return len(self.tensors[tensor].shape) == 4 and dims == (-2, -1)

    def window(self, last_map: str) -> Size:
        """How many rows and columns a map has."""
        height, width = (along[last_map].dim for along in self.fields)
        shape = self.tensors[last_map].shape
        assert height is not None, "it is a map"
        assert width is not None, "it is a map"
        return shape[height], shape[width]

    @cached_property
    def makers(self) -> dict[str, Node]:
        """The node that makes each tensor."""
        return {name: node for node in self.graph.nodes for name in node.made}

    def value(self, tensor: str) -> NDArray[Any]:
        """The numbers of a tensor that no pixel reaches, at the native size.

        Raises:
            NotConvertible: they lie in a file that is not there.
        """
        known = self.tensors[tensor].value
        if known is not None:
            return np.asarray(known)
        constant = self.graph.constants.get(tensor)
        if constant is not None and constant.stored is not None:
            return constant.stored.read()
        maker = self.makers.get(tensor)
        if maker is None:
            raise NotConvertible(f"the weights '{tensor}' lie in a file that is not there")
        given = {name: self.value(name) for name in maker.inputs if name}
        return np.asarray(evaluated(maker.proto, self.graph.opset_of(maker), given)[tensor])

    def number_type(self, tensor: str) -> np.dtype[Any]:
        """What numpy calls the numbers of a tensor."""
        return np.dtype(helper.tensor_dtype_to_np_dtype(self.tensors[tensor].elem_type))


def read(path: Path, size: Size | None = None) -> Classifier:
    """The classifier in a file.

    Args:
        path: an ONNX file; its weights may lie beside it.
        size: what it was trained at (h, w), where its axes are open.

    Raises:
        AnalysisError: it cannot be read, or has no single image input.
        NotConvertible: it does not say what size it was made for, or says another.
    """
    model = _loaded(path)
    weights = sum(map(_bytes, model.graph.initializer))
    if weights > _LARGEST:
        raise NotConvertible(
            f"{path} has {weights / 1e9:.1f} GB of weights; at most {_LARGEST / 1e9:.1f} can be run"
        )
    return classifier(model, size)


def classifier(model: onnx.ModelProto, size: Size | None = None) -> Classifier:
    """The classifier that a model is; raises as `read` does."""
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    graph = load(model)
    native = _native(graph, size)
    try:
        tensors = ShapeWalk(graph).at(*native)
    except Inadmissible as error:
        raise NotConvertible(
            f"an image of {native[1]}x{native[0]} does not go through it: {error}", error.node
        ) from error
    return Classifier(model, graph, native, tensors)


def _loaded(path: Path) -> onnx.ModelProto:
    try:
        model = onnx.load(path)
    except (OSError, ValueError, DecodeError, onnx.checker.ValidationError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise NotAModel(f"{path} cannot be read as ONNX: {reason}") from error
    return model


def _bytes(tensor: onnx.TensorProto) -> int:
    return prod(tensor.dims) * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize


_LARGEST = (1 << 31) - (1 << 26)  # bytes: a graph is run from one message, which ends at 2 GiB


def _native(graph: Graph, size: Size | None) -> Size:
    """The size that the graph declares, or that was told."""
    declared = graph.sides
    for axis, told, name in zip(declared, size or declared, ("H", "W"), strict=True):
        if isinstance(axis, int) and told != axis:
            raise NotConvertible(
                f"its {name} is {axis} in the file, and {told} was given as --size"
            )
    height, width = size or declared
    if not (isinstance(height, int) and isinstance(width, int)):
        raise NotConvertible(
            "its H and W are open, so the file does not say what size it was trained at; "
            "give it as --size WxH"
        )
    return height, width
