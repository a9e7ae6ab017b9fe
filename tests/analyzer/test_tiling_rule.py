"""The tiling rule against the whole image: random local graphs run whole and in tiles.

The oracle is ONNX Runtime on the whole image. Tiles are cut by `tile_plan` with the rule as it is;
where a rule is known to be tight, one pixel less must show.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx.printer
import onnxruntime as ort
import pytest
from hypothesis import HealthCheck, assume, given, note, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from anyres_analyzer import Analysis, analyze
from anyres_analyzer.tiling.plan import AxisRule, cut, plan_axis

Row = NDArray[np.float32]
Network = Callable[[Row], Row]
SOME = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)
COORDINATES = ("half_pixel", "asymmetric")


class Chain:
    """Builds a graph node by node; every convolution has a bias, so empty cells are not zero."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def call(self, operator: str, *inputs: str, **attributes: Any) -> str:
        output = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], output, **attributes))
        return output

    def constant(self, value: NDArray[np.generic]) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def weight(self, *shape: int) -> str:
        return self.constant(self._random.standard_normal(shape).astype(np.float32))

    def integers(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))

    def conv(self, x: str, k: int, s: int, d: int, pads: tuple[int, int]) -> str:
        padding = {"pads": [0, pads[0], 0, pads[1]], "dilations": [1, d], "strides": [1, s]}
        return self.call("Conv", x, self.weight(2, 2, 1, k), self.weight(2), **padding)

    def transposed(self, x: str, k: int, s: int, pads: tuple[int, int], more: int = 0) -> str:
        padding = {"pads": [0, pads[0], 0, pads[1]], "strides": [1, s]}
        weights = self.weight(2, 2, 1, k), self.weight(2)
        return self.call("ConvTranspose", x, *weights, output_padding=[0, more], **padding)

    def pool(self, x: str, operator: str, k: int, s: int, *, ceil: bool) -> str:
        window = {"kernel_shape": [1, k], "strides": [1, s], "ceil_mode": int(ceil)}
        return self.call(operator, x, **window)

    def resize(self, x: str, factor: float, mode: str, coordinates: str) -> str:
        scales = self.constant(np.array([1, 1, 1, factor], np.float32))
        return self.call(
            "Resize", x, "", scales, mode=mode, coordinate_transformation_mode=coordinates
        )

    def pad(self, x: str, mode: str, before: int, after: int) -> str:
        return self.call("Pad", x, self.integers(0, 0, 0, before, 0, 0, 0, after), mode=mode)

    def crop(self, x: str, before: int, after: int) -> str:
        ends = self.integers(-after if after else 2**31)
        return self.call("Slice", x, self.integers(before), ends, self.integers(3))

    def model(self, output: str) -> onnx.ModelProto:
        self.nodes.append(helper.make_node("Identity", [output], ["y"]))
        images = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2, 1, "w"])]
        outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2, 1, "v"])]
        graph = helper.make_graph(self.nodes, "net", images, outputs, self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def runner(model: onnx.ModelProto) -> Network:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(model.SerializeToString(), options)

    def run(row: Row) -> Row:
        output: Row = session.run(None, {"x": row})[0]
        return output

    return run


def rule_of(analysis: Analysis, *, halo_less: int = 0, alignment: int = 0) -> AxisRule:
    tiling, sizes = analysis.tiling.width, analysis.sizes.width
    assert tiling is not None, analysis.tiling.breakers
    return AxisRule(
        alignment or tiling.alignment,
        max(0, tiling.halo_before - halo_less),
        max(0, tiling.halo_after - halo_less),
        minimum=sizes.minimum,
        step=sizes.step,
    )


def worst_difference(
    model: onnx.ModelProto, size: int, core: int, analysis: Analysis, rule: AxisRule
) -> float:
    run = runner(model)
    row = np.random.default_rng(size).standard_normal((1, 2, 1, size), dtype=np.float32)
    whole = run(row)
    stitched = np.full_like(whole, np.nan)
    stride = analysis.output.stride[1]
    for tile in plan_axis(size, core * rule.alignment, rule):
        place = cut(tile, stride, size, whole.shape[3])
        part = run(row[..., tile.start : tile.stop])[..., place.part]
        width = place.stop - place.start
        if part.shape[3] == width:
            stitched[..., place.whole] = part
    error = np.abs(stitched - whole).max(initial=0.0)
    return float("inf") if np.isnan(error) else float(error / (np.abs(whole).max() + 1e-6))


@st.composite
def layers(draw: st.DrawFn, chain: Chain, x: str) -> str:
    kind = draw(st.sampled_from(["conv", "pool", "up", "resize", "pad", "crop", "skip"]))
    few = st.integers(0, 3)
    if kind == "conv":
        k, s, d = draw(st.integers(1, 4)), draw(st.integers(1, 3)), draw(st.integers(1, 2))
        return chain.conv(x, k, s, d, (draw(few), draw(few)))
    if kind == "pool":
        operator, k = draw(st.sampled_from(["MaxPool", "AveragePool"])), draw(st.integers(1, 3))
        return chain.pool(x, operator, k, draw(st.integers(1, 3)), ceil=draw(st.booleans()))
    if kind == "up":
        k, s = draw(st.integers(1, 4)), draw(st.integers(1, 3))
        pads = draw(few.filter(lambda p: p < k)), draw(few.filter(lambda p: p < k))
        return chain.transposed(x, k, s, pads, draw(st.integers(0, s - 1)))
    if kind == "resize":
        mode = draw(st.sampled_from(["nearest", "linear", "cubic"]))
        # A third is no float32: interpolated thirds differ with the position in the image.
        factor = draw(st.sampled_from([2, 0.5, 3] if mode == "nearest" else [2, 0.5]))
        return chain.resize(x, factor, mode, draw(st.sampled_from(COORDINATES)))
    if kind == "pad":
        mode = draw(st.sampled_from(["constant", "edge", "reflect"]))
        return chain.pad(x, mode, draw(few), draw(few))
    if kind == "crop":
        return chain.crop(x, draw(few), draw(few))
    k = draw(st.sampled_from([1, 3, 5]))
    return chain.call("Add", x, chain.conv(x, k, 1, 1, (k // 2, k // 2)))


@SOME
@given(st.data())
def test_tiles_of_a_random_chain_equal_the_whole(data: st.DataObject) -> None:
    chain = Chain(data.draw(st.integers(0, 9)))
    x = "x"
    for _ in range(data.draw(st.integers(1, 5))):
        x = data.draw(layers(chain, x))
    model = chain.model(x)
    analysis = analyze(model)
    rule = rule_of(analysis)
    assume(rule.alignment <= 24)
    lengths = st.integers(0, 60).map(lambda k: rule.minimum + k * rule.step)
    size, core = data.draw(lengths), data.draw(st.integers(1, 3))
    note(onnx.printer.to_text(model))
    assert worst_difference(model, size, core, analysis, rule) < 1e-5


@SOME
@given(st.data())
def test_tiles_of_a_random_u_net_equal_the_whole(data: st.DataObject) -> None:
    odd = st.sampled_from([1, 3, 5])
    chain = Chain(0)

    def same(x: str) -> str:
        k = data.draw(odd)
        pads = (k // 2, k // 2)
        if data.draw(st.booleans()):
            return chain.conv(chain.pad(x, "reflect", *pads), k, 1, 1, (0, 0))
        return chain.call("Relu", chain.conv(x, k, 1, 1, pads))

    def level(x: str, depth: int) -> str:
        if depth == 0:
            return same(x)
        skip = same(x)
        down = chain.pool(skip, "MaxPool", 2, 2, ceil=False)
        below = level(down, depth - 1)
        if data.draw(st.booleans()):
            up = chain.transposed(below, 2, 2, (0, 0))
        else:
            up = chain.resize(below, 2, "linear", "half_pixel")
        return same(chain.call("Add", skip, up))

    model = chain.model(level("x", data.draw(st.integers(1, 3))))
    analysis = analyze(model)
    rule = rule_of(analysis)
    size = rule.minimum + rule.step * data.draw(st.integers(0, 40))
    assert worst_difference(model, size, data.draw(st.integers(1, 3)), analysis, rule) < 1e-5


def tight() -> dict[str, onnx.ModelProto]:
    plain, strided, u_net, crop, phases = (Chain(seed) for seed in range(5))
    skip = u_net.conv("x", 3, 1, 1, (1, 1))
    below = u_net.conv(u_net.pool(skip, "MaxPool", 2, 2, ceil=False), 3, 1, 1, (1, 1))
    joined = u_net.call("Add", skip, u_net.transposed(below, 2, 2, (0, 0)))
    return {
        "a convolution": plain.model(plain.conv("x", 5, 1, 1, (2, 2))),
        "strides": strided.model(strided.conv(strided.conv("x", 4, 2, 1, (1, 1)), 5, 2, 1, (2, 2))),
        "a U-Net": u_net.model(u_net.conv(joined, 3, 1, 1, (1, 1))),
        "a crop before a padded convolution": crop.model(
            crop.conv(crop.crop("x", 5, 5), 3, 1, 1, (1, 1))
        ),
        "phases that read no pixel": phases.model(
            phases.conv(phases.transposed("x", 1, 3, (0, 0), 2), 3, 1, 1, (1, 1))
        ),
    }


@pytest.mark.parametrize("name", tight())
def test_the_rule_is_exact_and_no_halo_is_a_pixel_too_long(name: str) -> None:
    model = tight()[name]
    analysis = analyze(model)
    rule, less = rule_of(analysis), rule_of(analysis, halo_less=1)
    size = rule.minimum + 60 // rule.step * rule.step
    assert worst_difference(model, size, 2, analysis, rule) < 1e-5
    if rule.alignment == 1:  # a multiple of the alignment would hide one pixel
        assert worst_difference(model, size, 2, analysis, less) > 1e-3


def test_a_tile_holds_the_pixel_before_a_cell_that_is_padded_beside_a_crop() -> None:
    """More cells than pixels: none needs to lie in the tile, and where it begins counts still."""
    chain = Chain(0)
    x = chain.crop(chain.pad("x", "constant", 0, 2), 1, 0)
    model = chain.model(chain.call("Add", x, chain.conv(x, 3, 1, 1, (1, 1))))
    analysis = analyze(model)
    rule = rule_of(analysis)
    assert (rule.halo_before, rule.halo_after) == (1, 2)
    for size in range(1, 12):
        for core in (1, 2, 3):
            assert worst_difference(model, size, core, analysis, rule) < 1e-5


def test_mirrored_pixels_are_in_the_tile_at_the_border() -> None:
    """The last output reads 3 cells back by the mirror, and each of them 4 pixels further."""
    chain = Chain(0)
    mirrored = chain.pad(chain.conv("x", 5, 1, 1, (4, 0)), "reflect", 0, 3)
    model = chain.model(chain.conv(mirrored, 4, 1, 1, (0, 0)))
    analysis = analyze(model)
    assert worst_difference(model, 61, 2, analysis, rule_of(analysis)) < 1e-5


def test_a_tile_off_the_alignment_is_wrong() -> None:
    model = tight()["strides"]
    analysis = analyze(model)
    run = runner(model)
    row = np.random.default_rng(0).standard_normal((1, 2, 1, 64), dtype=np.float32)
    assert analysis.tiling.width is not None
    assert analysis.tiling.width.alignment == 4
    inside = slice(20, 52)
    whole = run(row)[..., 7:11]
    for start, error in ((16, False), (17, True), (18, True), (19, True)):
        part = run(row[..., start : inside.stop])[..., 7 - start // 4 : 11 - start // 4]
        assert (np.abs(part - whole).max() > 1e-3) == error
