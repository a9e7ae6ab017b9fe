"""fp16: weights and activations in half precision, half the file and half the memory traffic.

The input and the outputs stay fp32. ONNX Runtime's CPU provider has fp16 kernels for few operators
and widens the rest to fp32 and back, so there such a variant is no faster than fp32 and often
slower; it is made for devices that compute in fp16.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import onnx
from onnx import ModelProto

from anyres_exporter.precision.maker import Maker, bare, named, weighted


def fp16(model: Path) -> Maker:
    """Any layers can be kept in fp32, between casts."""
    graph = named(onnx.load(model))

    def make(kept: Collection[str]) -> ModelProto:
        return _halved(graph, kept)

    return Maker(weighted(graph.graph), make)


def _halved(graph: ModelProto, kept: Collection[str]) -> ModelProto:
    # Its package puts a folder of its own on sys.path; nobody pays for that but who asks for fp16.
    from onnxruntime.transformers.float16 import convert_float_to_float16

    copy = ModelProto()
    copy.CopyFrom(graph)
    return bare(convert_float_to_float16(copy, keep_io_types=True, node_block_list=list(kept)))
