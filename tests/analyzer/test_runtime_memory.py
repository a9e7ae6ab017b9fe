"""Predicted peak memory against ONNX Runtime in a process of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from math import prod
from pathlib import Path

import onnx
import onnx.parser
import onnxruntime as ort
import pytest

from anyres_analyzer import analyze
from anyres_analyzer.cost.runtime.lowering import lowered
from anyres_analyzer.cost.runtime.memory import RuntimeMemory
from anyres_analyzer.published.alexnet import caffe_alexnet
from anyres_analyzer.published.mobilenet_v2 import mobilenet_v2
from anyres_analyzer.published.net import Net
from anyres_analyzer.published.resnet50 import resnet50
from anyres_analyzer.published.unet import unet
from anyres_analyzer.published.vgg16 import vgg16

RESIDENT = Path(__file__).parents[2] / "benchmarks" / "resident.py"
SMALL: dict[str, Callable[[], Net]] = {
    "a thin U-Net": lambda: unet(same=True, width=16),
    "a ResNet-50": lambda: resnet50(dense=True, folded=True, thinner=2),
    "a MobileNetV2": lambda: mobilenet_v2(dense=True, folded=True),
}
WHOLE: dict[str, Callable[[], Net]] = {
    "U-Net": lambda: unet(same=True),
    "VGG16": lambda: vgg16(dense=True),
    "ResNet-50": lambda: resnet50(dense=True, folded=True),
    "MobileNetV2": lambda: mobilenet_v2(dense=True, folded=True),
    "AlexNet": lambda: caffe_alexnet(dense=True),
}
LONGEST = ("U-Net", "VGG16")
LONG = pytest.mark.exhaustive
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads the kernel's high-water mark")


# What the kernel counts and no buffer is: the heap that was there before hides small buffers, and
# threads' stacks come on top.
NOISE = 1 << 19


def about(measured: int) -> object:
    return pytest.approx(measured, rel=0.15, abs=NOISE)


def taken(model: Path, side: int, arena: str) -> dict[str, int]:
    """Bytes by what is measured, where freed buffers go back at once."""
    answer = subprocess.check_output(
        [sys.executable, str(RESIDENT), str(model), str(side), str(side), arena],
        env=os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"},
    )
    found: dict[str, int] = json.loads(answer)
    return found


@linux
@pytest.mark.parametrize("name", SMALL)
def test_what_is_foretold_is_within_15_percent_of_what_is_taken(name: str, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(SMALL[name]().model(weights=True), path)
    memory = analyze(path).runtime_memory(512, 512)
    off = taken(path, 512, "off")
    assert memory.arena_off_bytes == about(off["first"])
    assert memory.repeated_bytes == about(off["again"])


@linux
def test_what_the_arena_keeps_is_foretold(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(unet(same=True, width=16).model(weights=True), path)
    memory = analyze(path).runtime_memory(512, 512)
    assert memory.arena_on_bytes == pytest.approx(taken(path, 512, "on")["reserved"], rel=0.02)
    assert memory.arena_on_bytes > 3 * memory.arena_off_bytes


@linux
@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=LONG if name in LONGEST else ()) for name in WHOLE]
)
def test_it_holds_from_256_to_1024_pixels(name: str, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(WHOLE[name]().model(weights=True), path)
    analysis = analyze(path)
    for side in (256, 512, 1024):
        least = analysis.sizes.height.at_least(side)
        memory, off = analysis.runtime_memory(least, least), taken(path, least, "off")
        assert memory.arena_off_bytes == about(off["first"]), side
        assert memory.repeated_bytes == about(off["again"]), side


WEIGHTS = """
    float[16,16,1,1] k16 = {}, float[20,16,1,1] k20 = {}, float[16,20,1,1] from20 = {},
    float[16,18,1,1] from18 = {}, float[16,8,1,1] from8 = {}, float[16,1,3,3] deep = {},
    float[16,2,1,1] groups = {}, float[16,16,3,3] wide = {}, float[16] s = {},
    float[1,16,1,1] shift = {}, float[4] twice = {1, 1, 2, 2}, int64[8] pads = {0,0,1,1,0,0,1,1}
"""
TORCH = 'mode="linear", coordinate_transformation_mode="pytorch_half_pixel"'
# The image's channels, and the graph's body.
BODIES = {
    "a convolution of few channels": (8, "y = Conv (x, from8)"),
    "one of more": (16, "y = Conv (x, k16)"),
    "one of four and a block": (20, "y = Conv (x, from20)"),
    "one of two and a block": (18, "y = Conv (x, from18)"),
    "depthwise": (16, "y = Conv <group=16> (x, deep)"),
    "groups that fill no block": (16, "y = Conv <group=8> (x, groups)"),
    "an activation": (16, "a = Conv (x, k16) y = Relu (a)"),
    "one that is read twice": (
        16,
        "a = Conv (x, k16) b = Relu (a) c = Conv (a, k16) y = Add (b, c)",
    ),
    "one that is not blocked": (16, "a = MaxPool <kernel_shape=[2,2]> (x) y = LeakyRelu (a)"),
    "a pool of an image": (16, "y = MaxPool <kernel_shape=[2,2]> (x)"),
    "a pool of odd channels": (16, "a = Conv (x, k20) y = MaxPool <kernel_shape=[2,2]> (a)"),
    "a residual sum": (16, "a = Conv (x, k16) b = Conv (a, k16) c = Add (a, b) y = Relu (c)"),
    "a sum with weights": (16, "a = Conv (x, k16) y = Add (a, shift)"),
    "a norm": (16, "a = Conv (x, k16) y = BatchNormalization (a, s, s, s, s)"),
    "a norm of a pool": (
        16,
        "a = MaxPool <kernel_shape=[2,2]> (x) b = BatchNormalization (a, s, s, s, s) y = Relu (b)",
    ),
    "a norm of an image": (16, "y = BatchNormalization (x, s, s, s, s)"),
    "a swish": (16, "a = Conv (x, k16) b = Sigmoid (a) c = Mul (a, b) y = Conv (c, k16)"),
    "a product": (16, "a = Conv (x, k16) b = Conv (a, k16) y = Mul (a, b)"),
    "a difference": (16, "a = Conv (x, k16) b = Conv (a, k16) y = Sub (a, b)"),
    "whole blocks side by side": (
        16,
        "a = Conv (x, k16) b = Conv (a, k16) c = Concat <axis=1> (a, b) y = MaxPool "
        "<kernel_shape=[2,2]> (c)",
    ),
    "others": (16, "a = Conv (x, k16) b = Conv (a, k20) y = Concat <axis=1> (a, b)"),
    "padding": (16, "a = Pad (x, pads) y = Conv (a, wide)"),
    "padding by what is there": (16, 'a = Pad <mode="reflect"> (x, pads) y = Conv (a, wide)'),
    "twice as large": (16, 'a = Conv (x, k16) y = Resize <mode="linear"> (a, , twice)'),
    "another way": (16, f"a = Conv (x, k16) y = Resize <{TORCH}> (a, , twice)"),
}
WIDE_BLOCKS = sys.platform == "linux" and "avx512f" in Path("/proc/cpuinfo").read_text()


@pytest.mark.skipif(not WIDE_BLOCKS, reason="blocks are of 16 channels with AVX-512")
@pytest.mark.parametrize("what", BODIES)
def test_the_calls_are_those_of_onnx_runtimes_own_optimizer(what: str, tmp_path: Path) -> None:
    """Counted in the file that it writes of what it runs."""
    channels, body = BODIES[what]
    model = parsed(body, image=f"1,{channels},H,W")
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 4
    ort.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    runs = [node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node]
    analysis = analyze(model)
    calls = lowered(analysis.graph, analysis.shapes.at(64, 64)).calls
    for copies in ("ReorderInput", "ReorderOutput"):
        assert sum(copies in call.node for call in calls) == runs.count(copies)
    assert len(calls) == len(runs) - runs.count("Reshape")  # views, put in around a sum


def parsed(body: str, image: str, weights: str = WEIGHTS) -> onnx.ModelProto:
    """A graph from x to y; weights without numbers get ones."""
    head = f'<ir_version: 8, opset_import: ["" : 18]> net (float[{image}] x) => (float y)'
    return onnx.parser.parse_model(f"{head} <{with_ones(weights)}> {{ {body} }}")


def with_ones(weights: str) -> str:
    """Fills in empty braces."""

    def filled(found: re.Match[str]) -> str:
        count = prod(map(int, found[1].split(",")))
        return f"[{found[1]}] {found[2]} = {{{','.join('1' * count)}}}"

    return re.sub(r"\[([\d,]+)\] (\w+) = \{\}", filled, weights)


def foretold(
    body: str, *, image: str = "1,16,H,W", weights: str = "", side: int = 64
) -> RuntimeMemory:
    return analyze(parsed(body, image, weights)).runtime_memory(side, side)


MAP = 16 * 64 * 64 * 4  # bytes of 16 channels
SQUARE = "float[16,16,1,1] k = {}"


def test_an_activation_is_computed_in_its_convolution() -> None:
    """The image and the output are plain, what is between them is blocked."""
    both = foretold("a = Conv (x, k)\ny = Relu (a)", weights=SQUARE)
    assert both.arena_off_bytes == foretold("y = Conv (x, k)", weights=SQUARE).arena_off_bytes
    assert both.arena_off_bytes == 2 * MAP


def test_channels_are_rounded_up_to_blocks() -> None:
    two = "float[2,16,1,1] k = {}"
    assert foretold("y = Conv (x, k)", weights=two).arena_off_bytes == 2 * MAP


def test_a_residual_sum_writes_over_its_addend_where_shapes_are_static() -> None:
    body = "a = Conv (x, k)\nb = Conv (a, k)\ny = Add (a, b)"
    assert foretold(body, weights=SQUARE).arena_off_bytes == 3 * MAP - MAP
    static = foretold(body, weights=SQUARE, image="1,16,64,64")
    assert static.arena_off_bytes == 2 * MAP


def test_a_transposed_convolution_takes_its_columns() -> None:
    """Four taps for each of 64 x 64 pixels, beside the 128 x 128 that it makes."""
    up = "float[16,1,2,2] k = {}"
    memory = foretold("y = ConvTranspose <strides=[2,2]> (x, k)", weights=up)
    made = columns = 4 * 64 * 64 * 4
    assert memory.arena_off_bytes == made + columns
    assert memory.peak_node == "'y' (ConvTranspose)"


def test_a_view_takes_no_buffer() -> None:
    body = "a = LeakyRelu (x)\nb = Shape (a)\nc = Reshape (a, b)\ny = LeakyRelu (c)"
    assert foretold(body).arena_off_bytes == pytest.approx(2 * MAP, abs=64)


TALL = "a = Concat <axis=2> (x, x) b = GlobalMaxPool (a)"  # two maps, for a moment
MEANWHILE = "c = LeakyRelu (x)"  # one, until the end
END = "d = Mul (b, c) y = GlobalMaxPool (d)"


@linux
@pytest.mark.parametrize(
    ("body", "maps"), [(f"{TALL} {MEANWHILE} {END}", 3), (f"{MEANWHILE} {TALL} {END}", 2)]
)
def test_of_two_branches_the_later_in_the_file_runs_first(
    body: str, maps: int, tmp_path: Path
) -> None:
    assert foretold(body).arena_off_bytes == pytest.approx(maps * MAP, rel=0.01)
    onnx.save(parsed(body, image="1,16,H,W"), tmp_path / "net.onnx")
    first = taken(tmp_path / "net.onnx", 512, "off")["first"]
    assert first == pytest.approx(maps * 64 * MAP, rel=0.02)


def test_it_is_said_where_too_little_is_known() -> None:
    assert foretold("y = Conv (x, k16)", weights=WEIGHTS).doubt is None
    attention = foretold("a = Relu (x)\nb = Transpose <perm=[0,1,3,2]> (a)\ny = MatMul (a, b)")
    assert attention.doubt == "'y' (MatMul) is part of an attention, whose fusions are not followed"
    half = foretold("a = Cast <to=10> (x)\nb = Relu (a)\ny = Cast <to=1> (b)").doubt
    assert half == "'a' (Cast) makes no float32 numbers: conversions are not followed"
    quantized = foretold(
        "a = QuantizeLinear (x, s, z)\ny = DequantizeLinear (a, s, z)",
        weights="float s = {1}, uint8 z = {0}",
    ).doubt
    assert quantized is not None
    assert quantized.startswith("'a' (QuantizeLinear) is fused with quantized")


def test_an_image_that_is_the_output_too_is_copied() -> None:
    assert foretold("y = Identity (x)").arena_off_bytes == MAP
    assert foretold("a = Identity (x)\ny = Identity (a)").arena_off_bytes == MAP
