"""A network that says the same of every pixel, so that an answer tells which file made it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
from onnx import numpy_helper

CLASSES = 128


def constant(answer: int, *, operator: str = "Conv") -> onnx.ModelProto:
    """Class `answer` everywhere, of images of any size."""
    model = onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["" : 17]>
        net (float[N,3,H,W] x) => (float[N,{CLASSES},P,Q] y) {{ y = {operator} (x, w, b) }}"""
    )
    bias = np.zeros(CLASSES, np.float32)
    bias[answer] = 1
    weights = {"w": np.zeros((CLASSES, 3, 1, 1), np.float32), "b": bias}
    for name, values in weights.items():
        model.graph.initializer.append(numpy_helper.from_array(values, name))
    return model


def put(path: Path, answer: int) -> None:
    """Write such a network, there at once, as a rename does it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}")
    onnx.save(constant(answer), draft)
    os.replace(draft, path)  # noqa: PTH105 - the one that everybody knows


async def until(holds: Callable[[], bool]) -> None:
    """Wait for something that a server does by itself."""
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - what it waits for tells nobody
            await asyncio.sleep(0.02)
