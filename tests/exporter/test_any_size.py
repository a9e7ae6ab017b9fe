"""A network inside pad and crop takes every size: the graph against the network on what numpy pads.

The network is asked in PyTorch eager where it is one of ours, else in ONNX Runtime before padding.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import islice, product
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnx
import onnx.parser
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from anyres_proto.card import AxisPadding, Card, Description, Padding

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from tests.exporter.small_networks import NETWORKS, network  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from anyres_analyzer import Analysis, analyze  # noqa: E402
from anyres_analyzer.tiling.plan import AxisRule, cut, plan  # noqa: E402
from anyres_exporter.errors import NotProven  # noqa: E402
from anyres_exporter.export import export  # noqa: E402
from anyres_exporter.request import Sizes  # noqa: E402
from anyres_exporter.rewrite.any_size import AnySize, wrapped  # noqa: E402
from anyres_exporter.rewrite.pad_rule import (  # noqa: E402
    AxisCrop,
    Crop,
    PadMode,
    PadRule,
    pad_rule,
)
from anyres_exporter.rewrite.pad_rule_in import pad_rule_in  # noqa: E402
from anyres_exporter.runtime import Runtime, first  # noqa: E402
from anyres_exporter.trace.outputs import ONLY, named  # noqa: E402
from anyres_exporter.trace.trace import trace, traceable  # noqa: E402
from anyres_exporter.zoo.catalogue import CATALOGUE  # noqa: E402

Array: TypeAlias = NDArray[np.float32]
Size: TypeAlias = tuple[int, int]
MODES: tuple[PadMode, ...] = ("reflect", "edge", "constant")
NUMPY: dict[PadMode, Any] = {"reflect": "reflect", "edge": "edge", "constant": "constant"}


@dataclass(frozen=True)
class Stepped:
    """A built-in network, thin, and what is true of it along both axes.

    Output i is centred on pixel i + `offset`, so it has 2 * offset fewer than the image.
    """

    name: str
    arguments: Mapping[str, Any]
    step: int
    minimum: int = 1
    offset: int = 0

    def pads(self, size: int) -> tuple[int, int]:
        """What is put before, on the step, and after an image so that every pixel is answered."""
        before = -(-self.offset // self.step) * self.step
        total = next(
            total
            for total in range(max(self.minimum, size + before + self.offset), 5000)
            if (total - self.minimum) % self.step == 0
        )
        return before, total - before - size

    def padded(self, image: Array, mode: PadMode) -> Array:
        """By numpy."""
        pads = [(0, 0), (0, 0), *map(self.pads, image.shape[2:])]
        return np.pad(image, pads, NUMPY[mode])

    def kept(self, answer: Array, height: int, width: int) -> Array:
        """The answers for the image's own pixels."""
        start = self.pads(1)[0] - self.offset
        return answer[..., start : start + height, start : start + width]


LONGEST = ("original U-Net", "objects")
BUILT_IN = {
    "U-Net": Stepped("unet", {"classes": 2, "width": 2, "depth": 2}, 4, 4),
    "coarse U-Net": Stepped(
        "coarse_unet", {"classes": 2, "width": 2, "depth": 1, "widest": 4, "factor": 2}, 4, 4
    ),
    "deep U-Net": Stepped("unet", {"classes": 3, "width": 2, "depth": 4, "widest": 4}, 16, 16),
    "original U-Net": Stepped("original_unet", {"classes": 2, "width": 2, "depth": 2}, 4, 44, 20),
    "values of pixels": Stepped("unet_values", {"width": 4, "depth": 2}, 4, 4),
    "objects": Stepped("unet_objects", {"classes": 3, "width": 4, "depth": 2, "branch": 4}, 4, 4),
}
FEW = ("U-Net", "coarse U-Net")
TILED = [
    *(
        pytest.param(name, marks=() if name in FEW else pytest.mark.slow)
        for name in BUILT_IN
        if name != "original U-Net"
    ),
    *("patches", "valid", "shrinking", "growing", "unpadded", "stem"),
]
STEPS: dict[str, Size] = {"patches": (4, 2), "pyramid": (8, 8), "stem": (4, 4)}


@cache
def built(name: str) -> nn.Module:
    torch.manual_seed(0)
    case = BUILT_IN[name]
    return CATALOGUE[case.name].factory(**case.arguments).eval()


@cache
def graph_of(name: str) -> onnx.ModelProto:
    if name not in BUILT_IN:
        made: onnx.ModelProto = network(name)
        return made
    image = torch.zeros(2, CATALOGUE[BUILT_IN[name].name].channels, 64, 64)
    model, names = traceable(built(name), image)
    return trace(model, image, names, dynamic_size=True, opset=20, log=Path("unwritten.log"))


@cache
def analysis_of(name: str) -> Analysis:
    return analyze(graph_of(name))


def rule_of(name: str, mode: PadMode) -> PadRule:
    rule = pad_rule(analysis_of(name), mode)
    assert rule is not None
    return rule


@cache
def opened(name: str, mode: PadMode) -> onnx.ModelProto:
    return wrapped(graph_of(name), rule_of(name, mode))


def noise(height: int, width: int, channels: int = 3) -> Array:
    shape = (1, channels, height, width)
    return np.random.default_rng(shape).standard_normal(shape, np.float32)


def eager(model: nn.Module, image: Array) -> dict[str, Array]:
    with torch.inference_mode():
        answers = named(model(torch.from_numpy(image)))
    return {name: answer.numpy() for name, answer in answers.items()}


def padded_by_numpy(image: Array, name: str, mode: PadMode) -> Array:
    """To the next multiple of the step."""
    pads = [(0, -size % step) for size, step in zip(image.shape[2:], STEPS[name], strict=True)]
    return np.pad(image, [(0, 0), (0, 0), *pads], NUMPY[mode])


def expected_of(name: str, images: list[Array], mode: PadMode) -> Iterator[dict[str, Array]]:
    """The network's answers to what numpy pads, for the images' own pixels.

    Images that are padded to one size are asked in one batch.
    """
    case = BUILT_IN[name]
    padded = [case.padded(image, mode) for image in images]
    batches: dict[tuple[int, ...], list[int]] = {}
    for index, image in enumerate(padded):
        batches.setdefault(image.shape, []).append(index)
    answers = {
        index: {output: answer[place : place + 1] for output, answer in together.items()}
        for indices in batches.values()
        for together in [eager(built(name), np.concatenate([padded[i] for i in indices]))]
        for place, index in enumerate(indices)
    }
    for index, image in enumerate(images):
        height, width = image.shape[2:]
        yield {each: case.kept(value, height, width) for each, value in answers[index].items()}


def check(name: str, mode: PadMode, sizes: Iterable[Size]) -> None:
    """The graph against the network on what numpy pads."""
    run = Runtime(opened(name, mode), threads=1)
    channels = CATALOGUE[BUILT_IN[name].name].channels
    images = [noise(*size, channels) for size in sizes]
    for image, expected in zip(images, expected_of(name, images, mode), strict=True):
        answers = run(image)
        assert list(answers) == list(expected)
        for output, answer in answers.items():
            assert answer.shape[2:] == image.shape[2:]
            assert np.abs(answer - expected[output]).max() < 1e-5


def all_of(largest: int) -> Iterator[Size]:
    return ((height, width) for height in range(1, largest + 1) for width in range(1, largest + 1))


@given(
    height=st.integers(1, 30),
    width=st.integers(1, 30),
    step=st.integers(1, 16),
    before=st.integers(0, 40),
    further=st.integers(0, 20),
    mode=st.sampled_from(MODES),
)
@example(height=1, width=1, step=16, before=40, further=20, mode="reflect")
@example(height=2, width=1, step=1, before=0, further=0, mode="reflect")
def test_an_image_is_padded_as_numpy_pads_it(
    height: int, width: int, step: int, before: int, further: int, mode: PadMode
) -> None:
    axis = AxisPadding(step=step, minimum=5, before=before, more=before + further)
    everything = AxisCrop(further=1000)
    rule = PadRule(
        Padding(height=axis, width=axis, mode=mode), (Crop("y", everything, everything),)
    )
    identity: Any = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 13]>
        net (float[N,3,H,W] image) => (float[N,3,H,W] y) { y = Identity (image) }"""
    )
    pads = [(0, 0), (0, 0)]
    for size in (height, width):
        least = size + before + further
        target = next(n for n in range(least, 400) if n >= 5 and (n - 5) % step == 0)
        pads.append((before, target - size - before))
    image = noise(height, width)
    expected = np.pad(image, pads, NUMPY[mode])
    np.testing.assert_array_equal(first(Runtime(wrapped(identity, rule))(image)), expected)
    np.testing.assert_array_equal(eager(AnySize(nn.Identity(), rule), image)[ONLY], expected)


def test_every_size_from_1x1_to_40x40_is_the_network_on_the_mirrored_image() -> None:
    check("U-Net", "reflect", all_of(40))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", FEW)
def test_every_height_and_every_width_is_taken(name: str, mode: PadMode) -> None:
    sizes = [(1, 1), *((n, n * 7 % 41) for n in range(1, 41)), (3, 501)]
    check(name, mode, sizes)
    oracle = AnySize(built(name), rule_of(name, mode))
    images = [noise(*size) for size in sizes]
    for image, expected in zip(images, expected_of(name, images, mode), strict=True):
        np.testing.assert_allclose(eager(oracle, image)[ONLY], expected[ONLY], atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.exhaustive if name in LONGEST else ())
        for name in BUILT_IN
    ],
)
def test_every_size_from_1x1_to_40x40_and_random_ones_to_2000(name: str) -> None:
    random = np.random.default_rng(0).integers(1, 2001, (8, 2))
    check(name, "reflect", [*all_of(40), *((int(height), int(width)) for height, width in random)])


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["edge", "constant"])
@pytest.mark.parametrize("name", BUILT_IN)
def test_sizes_in_other_paddings(name: str, mode: PadMode) -> None:
    check(name, mode, [*islice(all_of(40), 0, None, 7), (1, 1777), (1234, 3)])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", TILED)
def test_tiles_of_a_padded_network_equal_the_whole(name: str, mode: PadMode) -> None:
    analysis = analyze(opened(name, mode))
    for axis in (analysis.sizes.height, analysis.sizes.width):
        assert (axis.verdict, axis.minimum) == ("free", 1)
    run = Runtime(opened(name, mode), threads=1)
    for height, width in [(97, 66), (64, 51), (61, 35), (5, 113)]:
        image = noise(height, width)
        whole = first(run(image))
        assert np.abs(stitched(run, image, whole, analysis) - whole).max() < 2e-6


def stitched(run: Runtime, image: Array, whole: Array, analysis: Analysis) -> Array:
    """The answer put together from the smallest tiles that the rule allows."""
    tilings = (analysis.tiling.height, analysis.tiling.width)
    rules = [AxisRule(t.alignment, t.halo_before, t.halo_after) for t in tilings if t is not None]
    assert len(rules) == 2, analysis.tiling.breakers
    size, cells = image.shape[2:], whole.shape[2:]
    result = np.full_like(whole, np.nan)
    cores = (rules[0].alignment, 2 * rules[1].alignment)
    for tile in plan((size[0], size[1]), cores, (rules[0], rules[1])):
        axes = (tile.rows, tile.columns)
        rows, columns = map(cut, axes, analysis.output.stride, size, cells)
        source = image[..., axes[0].start : axes[0].stop, axes[1].start : axes[1].stop]
        result[..., rows.whole, columns.whole] = first(run(source))[..., rows.part, columns.part]
    return result


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", [*FEW, "patches", "unpadded"])
def test_padding_after_the_image_changes_neither_field_nor_alignment(
    name: str, mode: PadMode
) -> None:
    before, after = analysis_of(name), analyze(opened(name, mode))
    assert after.receptive_field == before.receptive_field
    assert after.output.offset == before.output.offset
    for own, other in (
        (before.tiling.height, after.tiling.height),
        (before.tiling.width, after.tiling.width),
    ):
        assert own is not None
        assert other is not None
        assert (own.alignment, own.halo_after) == (other.alignment, other.halo_after)


def test_a_tile_at_the_far_border_holds_the_pixels_that_are_mirrored() -> None:
    """A patch is its own field; of the last, 3 of 4 rows may be mirrored, from 3 rows before."""
    halos = {
        mode: tiling.halo_before
        for mode in MODES
        if (tiling := analyze(opened("patches", mode)).tiling.height) is not None
    }
    assert halos == {"reflect": 3, "edge": 0, "constant": 0}


def test_each_axis_has_its_own_step() -> None:
    padding = rule_of("patches", "edge").padding
    assert (padding.height.step, padding.width.step) == (4, 2)
    own = Runtime(graph_of("patches"))
    run = Runtime(opened("patches", "edge"))
    for height, width in product((1, 3, 4, 5), (1, 2, 7)):
        image = noise(height, width)
        expected = first(own(padded_by_numpy(image, "patches", "edge")))[..., :height, :width]
        np.testing.assert_allclose(first(run(image)), expected, atol=1e-6)


def test_every_output_is_cropped_by_its_own_stride() -> None:
    own, run = Runtime(graph_of("pyramid")), Runtime(opened("pyramid", "reflect"))
    for height, width in [(1, 1), (7, 9), (16, 24), (33, 30)]:
        image = noise(height, width)
        whole, answers = own(padded_by_numpy(image, "pyramid", "reflect")), run(image)
        assert list(answers) == ["eighth", "half", "full"]
        for name, stride in {"eighth": 8, "half": 2, "full": 1}.items():
            expected = whole[name][..., : -(-height // stride), : -(-width // stride)]
            np.testing.assert_allclose(answers[name], expected, atol=1e-6)


def test_the_eager_oracle_crops_every_output_too() -> None:
    maps = {"half": torch.arange(24.0).reshape(1, 1, 4, 6), "full": torch.zeros(1, 1, 8, 12)}

    class Maps(nn.Module):
        def forward(self, image: Tensor) -> dict[str, Tensor]:
            assert image.shape == (1, 3, 8, 12)
            return maps

    half, full = AxisCrop(stride=Fraction(2)), AxisCrop()
    rule = PadRule(
        Padding(
            height=AxisPadding(step=8, minimum=8), width=AxisPadding(step=4, minimum=4), mode="edge"
        ),
        (Crop("half", half, half), Crop("full", full, full)),
    )
    answers = AnySize(Maps(), rule)(torch.zeros(1, 3, 5, 9))
    assert {name: tuple(answer.shape[2:]) for name, answer in answers.items()} == {
        "half": (3, 5),
        "full": (5, 9),
    }


def test_an_answer_for_the_whole_image_cannot_be_padded_and_is_named() -> None:
    with pytest.raises(NotProven, match=r"output 'score'.*no map.*GlobalAveragePool") as refused:
        opened("two", "edge")
    assert "GlobalAveragePool" in (refused.value.node or "")


def test_an_axis_that_is_fixed_cannot_be_opened_and_its_node_is_named() -> None:
    with pytest.raises(NotProven, match=r"padding cannot open H: it takes 16 .*Resize"):
        opened("baked", "edge")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["valid", "shrinking"])
def test_a_network_without_padding_answers_for_every_pixel(name: str, mode: PadMode) -> None:
    run = Runtime(opened(name, mode))
    for size in [(1, 1), (2, 3), (9, 10), (40, 31)]:
        assert first(run(noise(*size))).shape == (1, 2, *size)
    assert set(analyze(opened(name, mode)).output.offset) == {0}


@pytest.mark.parametrize(("name", "border"), [("valid", 5), ("shrinking", 2)])
def test_where_a_network_without_padding_answers_by_itself_it_still_does(
    name: str, border: int
) -> None:
    """The overlap-tile strategy of the U-Net paper adds a border, and moves nothing."""
    own = first(Runtime(graph_of(name))(noise(30, 24)))
    assert own.shape == (1, 2, 30 - 2 * border, 24 - 2 * border)
    answer = first(Runtime(opened(name, "reflect"))(noise(30, 24)))
    np.testing.assert_allclose(answer[..., border:-border, border:-border], own, atol=1e-6)


def test_the_border_of_a_network_without_padding_is_its_answer_to_the_mirrored_image() -> None:
    """6 pixels before, since the pool's lattice has a period of 2; so the answers begin with 1."""
    image = np.pad(noise(9, 11), [(0, 0), (0, 0), (6, 7), (6, 7)], "reflect")
    own = first(Runtime(graph_of("valid"))(image))[..., 1:10, 1:12]
    answer = first(Runtime(opened("valid", "reflect"))(noise(9, 11)))
    np.testing.assert_allclose(answer, own, atol=1e-6)


def test_a_strided_output_keeps_the_grid_that_the_network_has() -> None:
    assert set(analysis_of("stem").output.stride) == {2}
    own, run = Runtime(graph_of("stem")), Runtime(opened("stem", "edge"))
    for height, width in product(range(1, 14), repeat=2):
        image = noise(height, width)
        whole = first(own(padded_by_numpy(image, "stem", "edge")))
        expected = whole[..., : -(-height // 2), : -(-width // 2)]
        np.testing.assert_allclose(first(run(image)), expected, atol=1e-6)


def test_an_output_that_is_larger_than_the_image_stays_so() -> None:
    own, run = Runtime(graph_of("growing")), Runtime(opened("growing", "edge"))
    image = noise(8, 12)
    np.testing.assert_allclose(first(run(image)), first(own(image)), atol=1e-6)
    assert first(run(noise(5, 9))).shape == (1, 2, 11, 15)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", sorted(NETWORKS.keys() - {"two", "baked"}))
def test_the_rule_can_be_read_back_from_the_graph(name: str, mode: PadMode) -> None:
    assert pad_rule_in(opened(name, mode)) == rule_of(name, mode)
    assert pad_rule_in(graph_of(name)) is None


def test_a_network_that_takes_every_size_is_left_alone() -> None:
    model: Any = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 13]>
        net (float[N,3,H,W] image) => (float[N,3,H,W] y) { y = Relu (image) }"""
    )
    assert pad_rule(analyze(model), "edge") is None


def test_an_export_says_in_its_card_what_the_graph_adds(tmp_path: Path) -> None:
    path = export(
        built("U-Net"),
        Description(name="unet", task="segmentation"),
        tmp_path,
        sizes=Sizes((16, 16), any_size="reflect"),
    )
    card = Card.model_validate_json(onnx.load(path).metadata_props[0].value)
    assert card.padding == Padding(
        height=AxisPadding(step=4, minimum=4), width=AxisPadding(step=4, minimum=4), mode="reflect"
    )
    assert card.sizes.height.verdict == card.sizes.width.verdict == "free"
    assert {(1, 1), (1, 8), (8, 1)} <= {(proof.height, proof.width) for proof in card.proofs}
