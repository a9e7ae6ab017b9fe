"""The pixels' way in: bytes as they were decoded become what the network inside takes.

The arithmetic is one multiplication and one addition a channel:

    (pixel * scale - mean) / std  =  pixel * (scale / std) + (-mean / std)
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from anyres_analyzer import Analysis
from anyres_exporter.rewrite.batteries.nodes import Nodes, declared, dims, renamed
from anyres_proto.card import ImageInput

_CHANNELS_FIRST = (0, 3, 1, 2)


def bytes_in(graph: onnx.GraphProto, image: ImageInput, analysis: Analysis) -> None:
    """Let a graph of (n, c, h, w) floats take uint8 (n, h, w, c), by the same input name.

    Args:
        graph: is changed.
        image: what its floats are made of.
        analysis: of the graph.
    """
    name, dtype = analysis.input.name, analysis.input.dtype
    planes = f"{name}.planes"
    renamed(graph, {name: planes})
    network = list(graph.node)
    del graph.node[:]
    new = Nodes()
    made = new.make("Transpose", [name], f"{name}.channels_first", perm=_CHANNELS_FIRST)
    if image.colour == "BGR":
        order = new.constant(f"{name}.blue_first", np.array([2, 1, 0]))
        made = new.make("Gather", [made, order], f"{name}.bgr", axis=1)
    made = new.cast(made, f"{name}.numbers", dtype)
    for op_type, numbers in _arithmetic(image):
        operand = new.constant(f"{name}.{op_type}", numbers.astype(dtype).reshape(1, -1, 1, 1))
        made = new.make(op_type, [made, operand], f"{name}.{op_type}.made")
    new.nodes[-1].output[0] = planes
    graph.node.extend([*new.nodes, *network])
    graph.initializer.extend(new.constants)
    _declare(graph, name, image.channels)


def _arithmetic(image: ImageInput) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """What is done to the pixels of each channel, where it is anything."""
    mean, std = np.array(image.mean), np.array(image.std)
    factor, summand = image.scale / std, -mean / std
    if (factor != 1).any():
        yield "Mul", factor
    if summand.any():
        yield "Add", summand


def _declare(graph: onnx.GraphProto, name: str, channels: int) -> None:
    index, info = next((i, info) for i, info in enumerate(graph.input) if info.name == name)
    batch, _, height, width = dims(info)
    taken = declared(name, TensorProto.UINT8, [batch, height, width, channels])
    graph.input[index].CopyFrom(taken)
