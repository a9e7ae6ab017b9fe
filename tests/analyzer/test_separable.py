"""Costs that were never walked against those of a walk over the same graph."""

from __future__ import annotations

from functools import cache
from typing import Any

import onnx.parser
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyres_analyzer import Analysis, analyze
from anyres_analyzer.cost.model import CostModel
from anyres_analyzer.cost.separable import SeparableCostModel
from anyres_analyzer.errors import Inadmissible
from anyres_analyzer.published.mobilenet_v2 import mobilenet_v2
from anyres_analyzer.published.resnet50 import resnet50
from anyres_analyzer.published.unet import unet
from anyres_analyzer.published.vgg16 import vgg16
from anyres_analyzer.shapes.walk import ShapeWalk


def text(body: str, given: str = "float[N,3,H,W] x", made: str = "float[N,C,P,Q] y") -> Any:
    return onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 17]> g ({given}) => ({made}) {{ {body} }}'
    )


GRAPHS: dict[str, Any] = {
    "U-Net": lambda: unet(same=True).model(),
    "VGG16-FCN": lambda: vgg16(dense=True).model(),
    "ResNet-50-FCN": lambda: resnet50(dense=True, folded=True).model(),
    "MobileNetV2-FCN": lambda: mobilenet_v2(dense=True, folded=True).model(),
    "strides of 2 and 3": lambda: text(
        """a = MaxPool <kernel_shape=[3,3], strides=[2,2]> (x)
        b = MaxPool <kernel_shape=[4,2], strides=[3,3], pads=[1,0,1,0]> (a)
        y = Relu (b)"""
    ),
    "a map of all pairs": lambda: text(
        """s = Constant <value = int64[3] {0, 3, -1}> ()
        f = Reshape (x, s)
        t = Transpose <perm=[0,2,1]> (f)
        y = MatMul (t, f)""",
        made="float[N,L,L2] y",
    ),
    "one number": lambda: text("y = GlobalAveragePool (x)"),
    "a fixed width": lambda: text("y = Relu (x)", given="float[N,3,H,40] x"),
}


@cache
def analysed(name: str) -> Analysis:
    return analyze(GRAPHS[name]())


def outcome(cost: Any, *size: int) -> Any:
    try:
        return cost(*size)
    except Inadmissible as error:
        return str(error)


@pytest.mark.parametrize("name", GRAPHS)
@settings(max_examples=12, deadline=None)
@given(sides=st.tuples(st.integers(1, 700), st.integers(1, 700)))
def test_any_size_costs_what_a_walk_says(name: str, sides: tuple[int, int]) -> None:
    analysis = analysed(name)
    assert outcome(analysis.cost_of_any, *sides) == outcome(analysis.cost, *sides)


@pytest.mark.parametrize("name", ["U-Net", "a map of all pairs"])
@pytest.mark.parametrize("batch", [None, 1, 3])
def test_batches_cost_what_a_walk_says(name: str, batch: int | None) -> None:
    analysis = analysed(name)
    assert analysis.cost_of_any(320, 256, batch) == analysis.cost(320, 256, batch)


class Noting:
    """A walk that remembers where it went."""

    def __init__(self, walk: ShapeWalk) -> None:
        self._walk = walk
        self.sizes: list[tuple[int, int]] = []

    def at(self, height: int, width: int, batch: int | None = None) -> Any:
        self.sizes.append((height, width))
        return self._walk.at(height, width, batch)


def test_a_size_whose_residues_are_known_is_not_walked() -> None:
    analysis = analysed("U-Net")
    walk: Any = Noting(analysis.shapes)
    costs = SeparableCostModel(
        analysis.graph, walk, CostModel(analysis.graph, walk), analysis.sizes, analysis.periods
    )
    costs(320, 256)
    walk.sizes.clear()
    for size in ((336, 256), (320, 1024), (2048, 4096)):
        assert costs(*size) == analysis.cost(*size)
    assert len(walk.sizes) == 0


def test_the_worked_example() -> None:
    analysis = analyze(text("y = Concat <axis=1> (x, x)"))
    sizes = [analysis.cost_of_any(*size).activation_bytes for size in ((300, 260), (340, 260))]
    assert sizes == [4 * 9 * 300 * 260, 4 * 9 * 340 * 260]
