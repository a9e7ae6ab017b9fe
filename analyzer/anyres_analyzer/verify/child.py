"""The process that runs ONNX Runtime: one JSON request on its command line, one JSON answer.

A runtime that is given a map of no pixels may take its whole process down, so it gets one of its
own. This is the only module of the analyzer that imports onnxruntime.
"""

from __future__ import annotations

import json
import sys
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


def compare(network: Network, shape: list[int], tiles: list[dict[str, Any]]) -> dict[str, Any]:
    """Tiles against the whole image: the largest difference, and how many values are the same."""
    image = network.noise(shape)
    whole = network.run(image)
    worst, same, values = 0.0, 0, 0
    for tile in tiles:
        rows, columns = (slice(*tile[axis]["source"]) for axis in ("rows", "columns"))
        part = network.run(np.ascontiguousarray(image[:, :, rows, columns]))
        kept = part[:, :, slice(*tile["rows"]["part"]), slice(*tile["columns"]["part"])]
        expected = whole[:, :, slice(*tile["rows"]["whole"]), slice(*tile["columns"]["whole"])]
        if kept.shape != expected.shape:
            return {"refused": f"a tile gives {kept.shape}, the whole image {expected.shape}"}
        worst = max(worst, float(np.abs(kept.astype(float) - expected).max(initial=0.0)))
        same += int((kept == expected).sum())
        values += expected.size
    largest = float(np.abs(whole.astype(float)).max(initial=0.0))
    return {"worst": worst, "largest": largest, "same": same, "values": values}


def main(request: dict[str, Any]) -> dict[str, Any]:
    """One request: a shape, and perhaps tiles of it."""
    network = Network(request["model"], request["output"])
    if "tiles" in request:
        return compare(network, request["shape"], request["tiles"])
    return answer(network, request["shape"])


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.stdin.read()))))
