"""A Gather that picks every cell in its order, and some at the borders again, is a padding."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx.parser
import onnxruntime as ort
import pytest

from anyres_analyzer import Analysis, analyze
from anyres_analyzer.tiling.plan import AxisRule, cut, plan_axis

SIZE = """sides = Shape (image)
    zero = Constant <value_int = 0> () one = Constant <value_int = 1> ()
    two = Constant <value_int = 2> () n = Gather (sides, two)
    last = Sub (n, one) there_and_back = Add (last, last) period = Max (there_and_back, one)"""


def graph(first: int, more: int) -> Any:
    """Rows first ... n + more of the image in a mirror, then the mean of four and every second."""
    return onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["" : 17]>
        net (float[N,1,H,W] image) => (float[N,1,P,W] y) {{
            {SIZE}
            begin = Constant <value_int = {first}> ()
            more = Constant <value_int = {more}> () end = Add (n, more)
            places = Range (begin, end, one)
            there = Mod (places, period) back = Sub (period, there) rows = Min (there, back)
            padded = Gather <axis = 2> (image, rows)
            y = AveragePool <kernel_shape = [4,1], strides = [2,1]> (padded) }}"""
    )


def rule(analysis: Analysis) -> AxisRule:
    tiling = analysis.tiling.height
    assert tiling is not None, analysis.tiling.breakers
    return AxisRule(tiling.alignment, tiling.halo_before, tiling.halo_after, step=2, minimum=2)


@pytest.mark.parametrize(("first", "more"), [(0, 0), (0, 3), (-2, 2), (-5, 0), (-3, 6)])
def test_tiles_of_a_mirrored_image_equal_the_whole(first: int, more: int) -> None:
    model = graph(first, more)
    analysis = analyze(model)
    field = analysis.receptive_field
    assert field is not None
    assert [int(field.height.low), int(field.height.high)] == [first, first + 3]
    run = ort.InferenceSession(model.SerializeToString()).run
    image = np.random.default_rng(0).standard_normal((1, 1, 60, 1)).astype(np.float32)
    whole = run(None, {"image": image})[0]
    stitched = np.full_like(whole, np.nan)
    for tile in plan_axis(60, 6, rule(analysis)):
        place = cut(tile, analysis.output.stride[0], 60, whole.shape[2])
        part = run(None, {"image": image[:, :, tile.start : tile.stop]})[0]
        stitched[:, :, place.whole] = part[:, :, place.part]
    np.testing.assert_allclose(stitched, whole, atol=1e-6)


@pytest.mark.parametrize(
    "picks",
    [
        "rows = Sub (last, upwards)",  # turned upside down
        "rows = Div (upwards, half)",  # every row twice
        "twice = Mul (upwards, half) rows = Mod (twice, n)",  # the even ones, then the odd ones
    ],
)
def test_other_computed_positions_stay_unknown(picks: str) -> None:
    model: Any = onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["" : 17]>
        net (float[N,1,H,W] image) => (float[N,1,P,W] y) {{
            {SIZE}
            half = Constant <value_int = 2> ()
            upwards = Range (zero, n, one)
            {picks}
            y = Gather <axis = 2> (image, rows) }}"""
    )
    assert "'y' (Gather)" in analyze(model).tiling.breakers[0]
