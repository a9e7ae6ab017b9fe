"""Classifiers that others exported, as they come with the onnx package (without their weights).

MACs are counted by hand, layer by layer, or published by others (ResNet-50: 4 089 184 256).
"""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from anyres_analyzer import analyze

FOLDER = Path(onnx.__file__).parent / "backend/test/data/light"
ALEXNET = (  # outputs, inputs of a group, kernel, map
    (96, 3, 11, 54),
    (256, 48, 5, 26),
    (384, 256, 3, 12),
    (384, 192, 3, 12),
    (256, 192, 3, 12),
    (4096, 256, 6, 1),
    (4096, 4096, 1, 1),
    (1000, 4096, 1, 1),
)
MACS = {
    "bvlc_alexnet": sum(o * i * k**2 * n**2 for o, i, k, n in ALEXNET),
    "resnet50": 4_089_184_256,
    "vgg19": 19_632_062_464,  # VGG16 and one more 3x3 layer in each of three stages
}
NAMES = [path.stem.removeprefix("light_") for path in sorted(FOLDER.glob("*.onnx"))]


@pytest.mark.parametrize("name", NAMES)
def test_a_pinned_classifier_is_fixed_and_cannot_be_tiled(name: str) -> None:
    analysis = analyze(FOLDER / f"light_{name}.onnx")
    for axis in (analysis.sizes.height, analysis.sizes.width):
        assert (axis.verdict, axis.minimum, axis.maximum) == ("fixed", 224, 224)
    assert analysis.tiling.width is None
    assert analysis.tiling.breakers
    assert not analysis.output.dense or analysis.cost(224, 224).output_shape[2:] == (1, 1)
    assert not any("no rule" in breaker for breaker in analysis.tiling.breakers)


@pytest.mark.parametrize("name", MACS)
def test_macs_are_those_that_others_count(name: str) -> None:
    assert analyze(FOLDER / f"light_{name}.onnx").cost(224, 224).macs == MACS[name]


def test_weights_that_were_taken_out_are_counted_all_the_same() -> None:
    """The files make them by ConstantOfShape; VGG19's are 143 667 240 as published."""
    assert analyze(FOLDER / "light_vgg19.onnx").parameters == 143_667_240


def test_vgg19_is_vgg16_and_three_layers() -> None:
    """15 470 264 320 and a 3x3 layer of 256 at 56, of 512 at 28 and of 512 at 14 pixels."""
    more = 9 * (256**2 * 56**2 + 512**2 * 28**2 + 512**2 * 14**2)
    assert MACS["vgg19"] == 15_470_264_320 + more
