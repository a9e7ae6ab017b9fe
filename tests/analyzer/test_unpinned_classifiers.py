"""The onnx package's classifiers with their pinned sizes opened: what do their layers still take?

Each file declares 224x224. Without the declaration the layers decide, and the ranges follow from
them. Examples: ResNet-50 averages 7 cells of stride 32 that rounds up, so 193 to 224; AlexNet's
first fully connected layer wants 6x6 cells behind three pools and a stride of 4, so 211 to 242.
The oracle is ONNX Runtime.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, RuntimeException

from anyres_analyzer import analyze

FOLDER = Path(onnx.__file__).parent / "backend/test/data/light"
FIXED = {
    "bvlc_alexnet": (211, 242),
    "inception_v1": (221, 252),
    "inception_v2": (223, 230),
    "resnet50": (193, 224),
    "shufflenet": (221, 224),  # a Reshape to 56 cells of a quarter
    "vgg19": (224, 255),
    "zfnet512": (219, 250),
}
FREE = {"densenet121": 29, "squeezenet": 31}  # pooled globally: every larger size works


def unpinned(name: str) -> onnx.ModelProto:
    """The file with its height and width left open."""
    model = onnx.load(FOLDER / f"light_{name}.onnx")
    weights = {weight.name for weight in model.graph.initializer}
    image = next(value for value in model.graph.input if value.name not in weights)
    for dim, open_name in zip(image.type.tensor_type.shape.dim[2:], "hw", strict=True):
        dim.dim_param = open_name
    model.graph.output[0].type.tensor_type.ClearField("shape")
    return model


def runs(model: onnx.ModelProto, sizes: list[tuple[int, int]]) -> list[bool]:
    """Which sizes ONNX Runtime takes without an error."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    # Its blocked kernels divide by zero, and die, where a map is empty.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options)
    weights = {weight.name for weight in model.graph.initializer}
    name = next(value.name for value in session.get_inputs() if value.name not in weights)

    def passes(height: int, width: int) -> bool:
        try:
            session.run(None, {name: np.ones((1, 3, height, width), np.float32)})
        except (Fail, InvalidArgument, RuntimeException):
            return False
        return True

    return [passes(*size) for size in sizes]


@pytest.mark.parametrize("name", FIXED)
def test_a_fully_connected_head_takes_what_gives_its_map(name: str) -> None:
    contract = analyze(unpinned(name)).sizes
    for axis in (contract.height, contract.width):
        assert (axis.verdict, axis.minimum, axis.step, axis.maximum) == (
            "fixed",
            FIXED[name][0],
            1,
            FIXED[name][1],
        )


@pytest.mark.parametrize("name", FREE)
def test_global_pooling_takes_any_size_that_leaves_a_cell(name: str) -> None:
    contract = analyze(unpinned(name)).sizes
    for axis in (contract.height, contract.width):
        assert (axis.verdict, axis.minimum, axis.step, axis.maximum) == (
            "free",
            FREE[name],
            1,
            None,
        )


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(FIXED.keys() - {"vgg19"}))
def test_onnx_runtime_takes_those_sizes_and_no_others(name: str) -> None:
    least, most = FIXED[name]
    sizes = [(n, least) for n in (least - 1, least, most, most + 1)]
    model, contract = unpinned(name), analyze(unpinned(name)).sizes
    sizes += [(width, height) for height, width in sizes] + [(most, most), (least - 1, most + 1)]
    admitted = [contract.height.admits(h) and contract.width.admits(w) for h, w in sizes]
    assert runs(model, sizes) == admitted


@pytest.mark.slow
@pytest.mark.parametrize("name", FREE)
def test_onnx_runtime_takes_sizes_from_the_minimum_on(name: str) -> None:
    least = FREE[name]
    assert all(runs(unpinned(name), [(least, least), (least + 1, 64), (64, least), (97, 131)]))
