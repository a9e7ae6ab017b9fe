"""The process that runs ONNX Runtime: one JSON request on its command line, one JSON answer.

A runtime that is given a map of no pixels may take its whole process down, so it gets one of its
own. This is the only module of the analyzer that imports onnxruntime.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as state

Array = NDArray[Any]
REFUSALS = (state.Fail, state.InvalidArgument, state.RuntimeException, state.NotImplemented)
TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
}


class Network:
    """An ONNX file in ONNX Runtime's CPU provider."""

    def __init__(self, path: str, output: str) -> None:
        options = ort.SessionOptions()
        options.log_severity_level = 4  # what fails here is an answer
        self._session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._image = self._session.get_inputs()[0]
        self._output = output

    def noise(self, shape: list[int]) -> Array:
        """Pixels from a fixed seed."""
        pixels = np.random.default_rng(0).random(shape)
        kind = TYPES[self._image.type]
        return (pixels * 255 if kind is np.uint8 else pixels).astype(kind)

    def run(self, image: Array) -> Array:
        """The output of one image."""
        answer: Array = self._session.run([self._output], {self._image.name: image})[0]
        return answer


def answer(network: Network, shape: list[int]) -> dict[str, Any]:
    """What a size gives: a shape, or ONNX Runtime's refusal."""
    try:
        return {"shape": list(network.run(network.noise(shape)).shape)}
    except REFUSALS as error:
        return {"refused": str(error).splitlines()[0]}


def compare(network: Network, request: Mapping[str, Any]) -> dict[str, Any]:
    """Tiles against the whole image: the largest difference, and how many values are the same."""
    image = network.noise(request["shape"])
    whole = network.run(image)
    worst, same, values = 0.0, 0, 0
    for tile in request["tiles"]:
        source = _part(image, request["image_axes"], tile, "source")
        part = network.run(np.ascontiguousarray(source))
        kept = _part(part, request["output_axes"], tile, "part")
        expected = _part(whole, request["output_axes"], tile, "whole")
        if kept.shape != expected.shape:
            return {"refused": f"a tile gives {kept.shape}, the whole image {expected.shape}"}
        worst = max(worst, float(np.abs(kept.astype(float) - expected).max(initial=0.0)))
        same += int((kept == expected).sum())
        values += expected.size
    largest = float(np.abs(whole.astype(float)).max(initial=0.0))
    return {"worst": worst, "largest": largest, "same": same, "values": values}


def _part(array: Array, axes: Sequence[int], tile: Mapping[str, Any], which: str) -> Array:
    """What a tile says of an array's rows and columns, which are these axes."""
    where = [slice(None)] * array.ndim
    for axis, name in zip(axes, ("rows", "columns"), strict=True):
        where[axis] = slice(*tile[name][which])
    return array[tuple(where)]


def main(request: dict[str, Any]) -> dict[str, Any]:
    """One request: a shape, and perhaps tiles of it."""
    network = Network(request["model"], request["output"])
    if "tiles" in request:
        return compare(network, request)
    return answer(network, request["shape"])


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.stdin.read()))))
