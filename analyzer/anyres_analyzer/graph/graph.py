"""An ONNX graph as plain values: nodes in order, constants, one image in.

Weights are kept by shape and type, and by where their numbers lie; only constants small enough to
steer the graph (pads, scales, axes, shapes) keep their values, so a model of hundreds of megabytes
costs little to analyse.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import onnx
from numpy.typing import NDArray

from anyres_analyzer.graph.layout import NCHW, Layout
from anyres_analyzer.graph.stored import Stored

STEERING_ELEMENTS = 1024  # constants up to this many elements keep their values
RGB = 3


@dataclass(frozen=True)
class Constant:
    """An initializer: its shape, ONNX element type, and its value where it is small.

    `stored` reads its numbers, small or large; None where their file is not there.
    """

    shape: tuple[int, ...]
    elem_type: int
    value: NDArray[Any] | None = None
    stored: Stored | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Node:
    """One operator call. `label` is how messages name it: 'name' (OpType)."""

    op_type: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    proto: onnx.NodeProto = field(repr=False, compare=False)

    @property
    def label(self) -> str:
        """The node as a reader finds it in a viewer."""
        return f"'{self.name or next(iter(self.made), '?')}' ({self.op_type})"

    @cached_property
    def made(self) -> tuple[str, ...]:
        """The outputs that it really makes: an optional one that nobody wants has no name."""
        return tuple(name for name in self.outputs if name)


@dataclass(frozen=True)
class Value:
    """A graph input or output: declared dims are an int where static, a name or None where not."""

    name: str
    elem_type: int
    dims: tuple[int | str | None, ...]


@dataclass(frozen=True)
class Graph:
    """A graph with one image input, (n, c, h, w) or (n, h, w, c) as its `layout` says.

    `remarks` are sentences for its reader: what was odd in the file, and did not matter.
    """

    nodes: tuple[Node, ...]
    constants: Mapping[str, Constant]
    image: Value
    outputs: tuple[Value, ...]
    opsets: Mapping[str, int]
    metadata: Mapping[str, str]
    layout: Layout = NCHW
    remarks: tuple[str, ...] = ()

    @property
    def opset(self) -> int:
        """The version of the standard operators."""
        return self.opsets[""]

    def opset_of(self, node: Node) -> int:
        """The version of the operators of this node's domain; 1 where the file does not say."""
        return self.opsets.get(node.proto.domain, 1)

    @property
    def batch(self) -> int:
        """The declared number of images, 1 where it is open."""
        declared = self.image.dims[0]
        return declared if isinstance(declared, int) else 1

    @property
    def sides(self) -> tuple[int | str | None, int | str | None]:
        """The image's height and width as the file declares them."""
        height, width = self.layout.sides
        return self.image.dims[height], self.image.dims[width]

    @cached_property
    def channels(self) -> int:
        """The declared number of channels, or what the first convolution takes."""
        declared = self.image.dims[self.layout.name.index("C")]
        if isinstance(declared, int):
            return declared
        for node in self.nodes:
            if node.op_type == "Conv" and node.inputs[1] in self.constants:
                shape = self.constants[node.inputs[1]].shape
                return shape[1] * int(node.attributes.get("group", 1))
        return RGB

    @cached_property
    def last_use(self) -> dict[str, int]:
        """For each tensor the index of the last node that reads it; outputs live to the end."""
        uses = {name: i for i, node in enumerate(self.nodes) for name in node.inputs}
        return uses | {output.name: len(self.nodes) for output in self.outputs}

    @cached_property
    def sources(self) -> dict[str, frozenset[str]]:
        """For each tensor that follows from no pixel, the constants that it is made of.

        Unlike `origins` it may follow from the image's size: a class token is repeated for each
        image, a table of positions is cut to the map.
        """
        found = {name: frozenset({name}) for name in self.constants}
        for node in self.nodes:
            if node.op_type in ("Shape", "Size"):
                found.update(dict.fromkeys(node.made, frozenset()))
            elif all(name in found for name in node.inputs if name):
                made_of = frozenset().union(*(found[name] for name in node.inputs if name))
                found.update(dict.fromkeys(node.made, made_of))
        return found

    @cached_property
    def origins(self) -> dict[str, frozenset[str]]:
        """For each tensor that follows from constants alone, the constants that it is made of."""
        found = {name: frozenset({name}) for name in self.constants}
        for node in self.nodes:
            given = [name for name in node.inputs if name]
            if given and all(name in found for name in given):
                made_of = frozenset().union(*(found[name] for name in given))
                found.update(dict.fromkeys(node.made, made_of))
        return found
