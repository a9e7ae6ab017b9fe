"""Predicted peak memory against ONNX Runtime in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import onnx
import onnx.parser
import pytest

from anyres_analyzer import analyze
from anyres_analyzer.cost.runtime.memory import RuntimeMemory, predict
from anyres_analyzer.published.mobilenet_v2 import mobilenet_v2
from anyres_analyzer.published.net import Net
from anyres_analyzer.published.resnet50 import resnet50
from anyres_analyzer.published.unet import unet

RESIDENT = Path(__file__).parents[2] / "benchmarks" / "resident.py"
NETWORKS: dict[str, Callable[[], Net]] = {
    "a thin U-Net": lambda: unet(same=True, width=16),
    "a ResNet-50": lambda: resnet50(dense=True, folded=True, thinner=2),
    "a MobileNetV2": lambda: mobilenet_v2(dense=True, folded=True),
}


def taken(model: Path, side: int) -> int:
    """Peak bytes with the arena off, where freed buffers go back at once."""
    answer = subprocess.check_output(
        [sys.executable, str(RESIDENT), str(model), str(side), str(side), "off"],
        env=os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"},
    )
    return int(json.loads(answer)["peak"])


@pytest.mark.skipif(sys.platform != "linux", reason="reads the kernel's high-water mark")
@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_foretold_is_within_15_percent_of_what_is_taken(name: str, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(NETWORKS[name]().model(weights=True), path)
    analysis = analyze(path)
    foretold = predict(analysis.graph, analysis.shapes.at(512, 512))
    measured = taken(path, 512)
    assert abs(foretold.arena_off_bytes / measured - 1) < 0.15
    assert foretold.arena_off_bytes <= foretold.arena_on_bytes


def foretold(
    body: str, *, image: str = "1,16,H,W", weights: str = "", side: int = 64
) -> RuntimeMemory:
    analysis = analyze(
        onnx.parser.parse_model(
            f'<ir_version: 8, opset_import: ["" : 18]> net (float[{image}] x) => (float y) '
            f"<{weights}> {{ {body} }}"
        )
    )
    return predict(analysis.graph, analysis.shapes.at(side, side))


MAP = 16 * 64 * 64 * 4  # bytes of 16 channels
SQUARE = f"float[16,16,1,1] k = {{{','.join('1' * 256)}}}"


def test_an_activation_is_computed_in_its_convolution() -> None:
    """The image and the output are plain, what is between them is blocked."""
    both = foretold("a = Conv (x, k)\ny = Relu (a)", weights=SQUARE)
    assert both.arena_off_bytes == foretold("y = Conv (x, k)", weights=SQUARE).arena_off_bytes
    assert both.arena_off_bytes == 2 * MAP


def test_channels_are_rounded_up_to_blocks() -> None:
    two = f"float[2,16,1,1] k = {{{','.join('1' * 32)}}}"
    assert foretold("y = Conv (x, k)", weights=two).arena_off_bytes == 2 * MAP


def test_a_residual_sum_writes_over_its_addend_where_shapes_are_static() -> None:
    body = "a = Conv (x, k)\nb = Conv (a, k)\ny = Add (a, b)"
    assert foretold(body, weights=SQUARE).arena_off_bytes == 3 * MAP - MAP
    static = foretold(body, weights=SQUARE, image="1,16,64,64")
    assert static.arena_off_bytes == 2 * MAP


def test_a_transposed_convolution_takes_its_columns() -> None:
    """Four taps for each of 64 x 64 pixels, beside the 128 x 128 that it makes."""
    up = f"float[16,1,2,2] k = {{{','.join('1' * 64)}}}"
    memory = foretold("y = ConvTranspose <strides=[2,2]> (x, k)", weights=up)
    made = columns = 4 * 64 * 64 * 4
    assert memory.arena_off_bytes == made + columns
    assert memory.peak_node == "'y' (ConvTranspose)"
