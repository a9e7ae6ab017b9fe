"""Weights that lie in files beside a model's, read into memory before the model is loaded.

ONNX Runtime maps such files and goes on reading them while the network runs. Whoever writes to one
in place then changes a network that is served, and whoever cuts it ends the process (SIGBUS). Read
first, they are ONNX Runtime's own: it copies what it needs, and the rest is given back.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from onnx import ModelProto, TensorProto

from anyres_analyzer.errors import NotAModel
from anyres_analyzer.graph.skim import skimmed
from anyres_server.errors import ModelBroken


def weights_beside(path: Path) -> dict[str, bytes]:
    """The files that a model's tensors lie in, by the names that it gives them. Blocks.

    Raises:
        ModelBroken: one of them cannot be read.
    """
    try:
        names = set(_locations(skimmed(path).model))
    except NotAModel:
        return {}  # whoever loads it says what it is
    try:
        return {name: (path.parent / name).read_bytes() for name in sorted(names)}
    except OSError as error:
        raise ModelBroken(f"weights beside {path.name} cannot be read: {error.strerror}") from error


def _locations(model: ModelProto) -> Iterator[str]:
    for tensor in model.graph.initializer:
        if tensor.data_location == TensorProto.EXTERNAL:
            yield from (entry.value for entry in tensor.external_data if entry.key == "location")
