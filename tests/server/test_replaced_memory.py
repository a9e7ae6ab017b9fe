"""A model that is replaced again and again leaves nothing behind."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from tests.server.constant import constant

from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb

MIB = 2**20


def put_heavy(path: Path, number: int) -> int:
    """A network with 4 MiB of weights; how many bytes its file has."""
    model = constant(number)
    weights = np.full((128, 128, 8, 8), number, np.float32)
    model.graph.initializer.append(numpy_helper.from_array(weights, "heavy"))
    head = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 17]>
        net (float[N,3,H,W] x) => (float[N,128,P,Q] y)
        { a = Conv (x, w, b)
           y = Conv <pads=[3,3,4,4]> (a, heavy) }"""
    )
    head.graph.initializer.extend(model.graph.initializer)
    onnx.save(head, path)
    return path.stat().st_size


def resident_bytes() -> int:
    """Of this process, the server's too."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
async def test_a_hundred_replacements_leave_resident_memory_as_it_was(
    serve: Any, models: Path, png: Any
) -> None:
    image = png(np.zeros((8, 8, 3), np.uint8))
    size = put_heavy(models / "net.onnx", 0)
    async with serve(repository_watch=False) as served:
        repository, resident = served.server.repository, []
        for number in range(1, 111):
            before = repository.get("net")
            put_heavy(models / "net.onnx", number % 100)
            await repository.load("net")
            assert repository.get("net") is not before
            del before
            await served.predict("net", image, pb.OUTPUT_KIND_CLASS_MAP)
            resident.append(resident_bytes())
    settled, last = max(resident[5:15]), min(resident[-10:])
    assert size > 4 * MIB
    assert last < settled + 10 * size, "kept, they would be 95 times its size"
