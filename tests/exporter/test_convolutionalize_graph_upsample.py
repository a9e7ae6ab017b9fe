"""Answers at the image's own size: against bilinear interpolation written out pixel by pixel."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.exporter.convolutionalize_graphs import Array, classifier_of, far, picture

from anyres_exporter.rewrite.convolutionalize.convert import Converted, convert
from anyres_exporter.rewrite.convolutionalize.native import prove
from anyres_exporter.rewrite.convolutionalize.refusal import NotConvertible
from anyres_exporter.rewrite.convolutionalize.source import classifier
from anyres_exporter.rewrite.convolutionalize.upsample import axis, upsampled
from anyres_exporter.runtime import Runtime

# name -> kernel, stride, pads (top, left, bottom, right): the offset is (kernel - 1) / 2 - pad,
# with 2 * stride more behind an average over 5 cells.
BODIES: dict[str, tuple[int, int, tuple[int, int, int, int]]] = {
    "odd kernel, stride 2": (3, 2, (1, 1, 1, 1)),
    "odd kernel, stride 3, no padding": (3, 3, (0, 0, 0, 0)),
    "patches of 4": (4, 4, (0, 0, 0, 0)),
    "even kernel, odd stride": (2, 3, (0, 0, 0, 0)),
    "even kernel, stride 1": (4, 1, (0, 0, 0, 0)),
    "padded on one side": (3, 2, (0, 1, 1, 0)),
    "padded beyond the image": (3, 2, (2, 2, 2, 2)),
    "rows unlike columns": (4, 2, (1, 0, 1, 0)),
}


def network(name: str, *, opset: int = 17, last: str = "out = MatMul (flat, w1)") -> Converted:
    kernel, stride, pads = BODIES[name]
    side = [4 * stride + kernel - pads[0] - pads[2], 4 * stride + kernel - pads[1] - pads[3]]
    model = classifier_of(
        f"p = GlobalAveragePool (map) flat = Flatten (p) {last}",
        {"stem": (4, 3, kernel, kernel), "w1": (4, 5)},
        body=f"map = Conv <strides=[{stride},{stride}], pads={list(pads)}> (image, stem)",
        image=f"float[N,3,{side[0]},{side[1]}] image",
        opset=opset,
    )
    return convert(classifier(model))


def interpolated(grid: Array, size: tuple[int, int], stride: int, offsets: list[float]) -> Array:
    """Pixel x lies at (x - offset) / stride; beyond the grid its border goes on."""
    made = np.empty((*grid.shape[:2], *size))
    for y, x in product(range(size[0]), range(size[1])):
        places = [
            min(max((pixel - offset) / stride, 0), cells - 1)
            for pixel, offset, cells in zip((y, x), offsets, grid.shape[2:], strict=True)
        ]
        low = [int(place) for place in places]
        high = [min(a + 1, cells - 1) for a, cells in zip(low, grid.shape[2:], strict=True)]
        (v, u) = (place - a for place, a in zip(places, low, strict=True))
        top = (1 - u) * grid[:, :, low[0], low[1]] + u * grid[:, :, low[0], high[1]]
        bottom = (1 - u) * grid[:, :, high[0], low[1]] + u * grid[:, :, high[0], high[1]]
        made[:, :, y, x] = (1 - v) * top + v * bottom
    return made


@pytest.mark.parametrize("opset", [11, 17])
@pytest.mark.parametrize("name", BODIES)
def test_every_pixel_is_interpolated_where_it_lies_on_the_grid(name: str, opset: int) -> None:
    kernel, stride, pads = BODIES[name]
    made = network(name, opset=opset)
    larger = upsampled(made)
    onnx.checker.check_model(larger.model, full_check=True)
    height, width = made.source.size
    offsets = [(kernel - 1) / 2 - pads[side] + 2 * stride for side in (0, 1)]
    for size in ((height, width), (height + 1, width + 3 * stride), (4 * height + 2, 3 * width)):
        image = picture(*size)
        told = interpolated(Runtime(made.model)(image)["out"], size, stride, offsets)
        assert far(told, Runtime(larger.model)(image)["out"]) < 1e-5
    assert prove(larger).max_rel_error < 1e-5


@pytest.mark.parametrize("name", BODIES)
def test_the_analysis_finds_one_answer_a_pixel(name: str) -> None:
    output = upsampled(network(name)).analysis.output
    assert (output.stride, output.offset) == ((Fraction(1),) * 2, (Fraction(0),) * 2)


def test_activations_come_after_the_interpolation() -> None:
    name = "odd kernel, stride 2"
    logits = upsampled(network(name))
    odds = upsampled(network(name, last="m = MatMul (flat, w1) out = Softmax <axis=1> (m)"))
    best = upsampled(network(name, last="m = MatMul (flat, w1) out = ArgMax <axis=1> (m)"))
    image = picture(31, 33)
    scores = Runtime(logits.model)(image)["out"]
    exponents = np.exp(scores - scores.max(1, keepdims=True))
    assert (
        far(exponents / exponents.sum(1, keepdims=True), Runtime(odds.model)(image)["out"]) < 1e-5
    )
    assert (Runtime(best.model)(image)["out"][:, 0] == scores.argmax(1)).all()


def test_an_answer_that_is_two_outputs_is_enlarged_once() -> None:
    model = classifier_of(
        """p = GlobalAveragePool (map) flat = Flatten (p) logits = MatMul (flat, w1)
        out = Softmax <axis=1> (logits)""",
        {"w1": (4, 5)},
        output="float[N,5] out, float[N,5] logits",
    )
    larger = upsampled(convert(classifier(model)))
    made = Runtime(larger.model)(picture(19, 21))
    assert made["logits"].shape == made["out"].shape == (1, 5, 19, 21)


def test_operators_without_an_aligned_resize_are_refused() -> None:
    with pytest.raises(NotConvertible, match="opset 10, whose Resize cannot align"):
        upsampled(network("patches of 4", opset=10))


@given(
    stride=st.integers(1, 64),
    twice_offset=st.integers(-64, 400),
    surplus=st.integers(-64, 200),
    size=st.integers(1, 300),
    halves=st.booleans(),
)
def test_the_cut_holds_the_image_and_lies_where_it_should(
    stride: int, twice_offset: int, surplus: int, size: int, halves: bool
) -> None:
    offset = Fraction(twice_offset, 2)
    cells = max(1, -(-(size - surplus) // stride))  # size - cells * stride is surplus at most
    rule = axis(Fraction(stride), offset, Fraction(surplus), halves=halves)
    length = rule.factor * (rule.before + cells + rule.after)
    assert rule.start >= 0
    assert rule.start + (size - 1) * rule.step < length or size - cells * stride > surplus
    half = Fraction(1, 2) if halves else Fraction(0)
    for pixel in (0, size - 1):
        made = rule.start + pixel * rule.step
        place = (made + half) / rule.factor - half - rule.before
        if rule.step == 1 or not halves:
            assert place == (pixel - offset) / stride
