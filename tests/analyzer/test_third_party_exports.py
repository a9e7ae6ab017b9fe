"""What is said of other people's networks, held against eager torch and ONNX Runtime.

`third_party_nets` says what each architecture takes and how far it looks; torch's exporters write
the files; no verdict of the analyzer may contradict either. A size that runs and gives other
numbers than torch is worse than one that fails, so it counts as refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import ceil, lcm
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.analyzer.exported import Exported, noise
from tests.analyzer.third_party_nets import BAKED, BY_BOTH, GLOBAL, LOCAL, SIZED, Net, Takes

from anyres_analyzer import Analysis, analyze
from anyres_analyzer.sizes.contract import AxisContract
from anyres_analyzer.tiling.plan import AxisRule, cut, plan_axis

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.torch, pytest.mark.slow]

WRITTEN = "constants that the exporter wrote count as learned"
MISCOUNTED = {"timm edgenext": WRITTEN}
MISNAMED = {"smp Segformer": "tokens that pass a linear layer one by one still are pixels"}
AXES = ("height", "width")
FAR = 2048  # pixels: further than any window of these networks looks


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Images are small: waking a second thread takes longer than it saves."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def exported(net: Net, *, dynamo: bool) -> Exported:
    return Exported(net.build(), net.side, patch=net.patch, dynamo=dynamo)


class Case:
    """One row of the table with its file and what the analyzer says of it."""

    def __init__(self, net: Net) -> None:
        self.net = net
        self.network = exported(net, dynamo=net.dynamo)
        self.analysis: Analysis = analyze(self.network.file)


@pytest.fixture(scope="module")
def case(request: pytest.FixtureRequest, torchvision: None) -> Case:
    return Case(request.param)


def of(*groups: tuple[Net, ...], wrong: Mapping[str, str] | None = None) -> pytest.MarkDecorator:
    """Runs a test on each network; `wrong` says why it fails today."""
    rows = [
        pytest.param(net, id=net.name, marks=_known((wrong or {}).get(net.name)))
        for group in groups
        for net in group
    ]
    return pytest.mark.parametrize("case", rows, indirect=True)


def _known(reason: str | None) -> Any:
    return () if reason is None else pytest.mark.xfail(reason=reason, strict=True)


def around(takes: Takes) -> list[int]:
    """Both sides of the minimum, of the first steps and of the maximum; odd ones; a far one."""
    first, step = takes.minimum, takes.step
    sizes = {first - 1, first, first + 1, first + step - 1, first + step, first + step + 1}
    sizes |= {first + 2 * step, first + 2 * step + 1, first + step * (1 + 64 // step)}
    if takes.maximum is not None:
        sizes |= {takes.maximum, takes.maximum + 1, takes.maximum + first}
    return sorted(size for size in sizes if size > 0)


@of(LOCAL, GLOBAL, SIZED)
def test_the_contract_is_the_architectures(case: Case) -> None:
    takes = case.net.takes
    for axis in _axes(case.analysis):
        also = tuple(further.minimum for further in axis.also)
        found = Takes(axis.minimum, axis.step, axis.maximum, also)
        assert (axis.verdict, found) == (takes.verdict, takes), axis.reason


@of(LOCAL, GLOBAL, SIZED)
def test_a_size_is_admitted_exactly_when_the_file_gives_torchs_numbers(case: Case) -> None:
    assert case.network.tells_images_apart(case.net.side)
    sizes, contract = around(case.net.takes), case.analysis.sizes
    thin = contract.height.at_least(32)
    both = [(sizes[1], sizes[-1]), (sizes[0], sizes[0]), (sizes[-1], sizes[1])]
    for height, width in [(n, thin) for n in sizes] + [(thin, n) for n in sizes] + both:
        admitted = contract.height.admits(height) and contract.width.admits(width)
        assert case.network.is_right(height, width) == admitted, f"{width}x{height}"


@of(LOCAL, GLOBAL, SIZED)
def test_every_operator_has_a_rule(case: Case) -> None:
    assert not [breaker for breaker in case.analysis.tiling.breakers if "no rule" in breaker]


def long_image(case: Case, axis: str, pixels: int) -> NDArray[np.float32]:
    """At least so many pixels along one axis, few along the other."""
    sizes = case.analysis.sizes
    length = getattr(sizes, axis).at_least(pixels)
    thin = sizes.height.at_least(32)
    return noise(length, thin) if axis == "height" else noise(thin, length)


def along(axis: str, part: slice) -> tuple[slice, ...]:
    return (..., part, slice(None)) if axis == "height" else (..., part)  # type: ignore[return-value]


def worst_difference(case: Case, axis: str, rule: AxisRule) -> float:
    """Of the first tile, the last, and all that are cut on both sides, to the whole image."""
    dim = AXES.index(axis)
    room = rule.halo_before + rule.halo_after + 5 * rule.alignment + 1
    image = long_image(case, axis, max(room, 6 * rule.alignment))
    whole = case.network.run(image)
    assert whole is not None
    size, stride = image.shape[dim + 2], case.analysis.output.stride[dim]
    worst = 0.0
    for tile in plan_axis(size, rule.alignment, rule):
        if (tile.start > 0) != (tile.stop < size):
            continue
        place = cut(tile, stride, size, whole.shape[dim + 2])
        part = case.network.run(image[along(axis, slice(tile.start, tile.stop))])
        assert part is not None
        error = np.abs(part[along(axis, place.part)] - whole[along(axis, place.whole)])
        worst = max(worst, float(error.max(initial=0)))
    return worst / float(np.abs(whole).max())


@of(LOCAL)
@pytest.mark.parametrize("axis", AXES)
def test_tiles_equal_the_whole_and_need_their_halo(case: Case, axis: str) -> None:
    assert case.net.field
    tiling, takes = getattr(case.analysis.tiling, axis), case.net.takes
    assert tiling is not None, case.analysis.tiling.breakers
    assert tiling.alignment == lcm(case.net.field[1], takes.step)
    halos = tiling.halo_before, tiling.halo_after
    rule = AxisRule(tiling.alignment, *halos, takes.minimum, takes.step)
    bare = AxisRule(tiling.alignment, 0, 0, takes.minimum, takes.step)
    assert worst_difference(case, axis, rule) < 1e-4
    assert worst_difference(case, axis, bare) > 1e-3


@of(LOCAL)
@pytest.mark.parametrize("axis", AXES)
def test_the_receptive_field_covers_every_output_that_a_pixel_moves(case: Case, axis: str) -> None:
    assert case.analysis.receptive_field
    field, dim = getattr(case.analysis.receptive_field, axis), AXES.index(axis)
    assert (field.size, field.stride) == case.net.field
    image = long_image(case, axis, field.size + 4 * lcm(case.net.field[1], case.net.takes.step))
    size = image.shape[dim + 2]
    quiet = case.network.run(image[:1])
    for pixel in (0, size // 3, size // 2 + 1):
        poked = image[:1].copy()
        poked[along(axis, slice(pixel, pixel + 1))] += 100
        output = case.network.run(poked)
        assert output is not None
        assert quiet is not None
        moved = np.flatnonzero((output != quiet).any((0, 1, 3 - dim)))
        first = ceil((pixel - field.high) / field.stride)
        last = int((pixel - field.low) // field.stride)
        assert moved.size
        assert first <= moved[0]
        assert moved[-1] <= last


@of(GLOBAL)
def test_what_looks_at_the_whole_image_is_named_and_does(case: Case) -> None:
    analysis, network = case.analysis, case.network
    assert (analysis.tiling.height, analysis.tiling.width) == (None, None)
    assert analysis.receptive_field is None
    assert any(f"({case.net.breaker})" in breaker for breaker in analysis.tiling.breakers)
    pixels = FAR if analysis.output.dense else case.net.side
    image = long_image(case, "width", pixels)[:1]
    poked = image.copy()
    poked[:, :, :8, :8] += 100
    quiet, output = network.run(image), network.run(poked)
    assert quiet is not None
    assert output is not None
    assert (output != quiet)[..., -1].any()


@of(SIZED, wrong=MISNAMED)
def test_what_depends_on_the_size_is_named(case: Case) -> None:
    assert (case.analysis.tiling.height, case.analysis.tiling.width) == (None, None)
    assert any(f"({case.net.breaker})" in breaker for breaker in case.analysis.tiling.breakers)


@of(LOCAL, GLOBAL, SIZED)
def test_macs_are_those_that_torch_counts(case: Case) -> None:
    sizes = case.analysis.sizes
    few = sizes.height.at_least(case.net.side), sizes.width.at_least(case.net.side)
    more = sizes.height.at_least(few[0] + 27), sizes.width.at_least(few[1] + 3)
    for height, width in (few, more):
        assert case.analysis.cost(height, width).macs == case.network.macs(height, width)


@of(LOCAL, GLOBAL, SIZED, wrong=MISCOUNTED)
def test_parameters_are_torchs_without_what_the_export_folded(case: Case) -> None:
    assert case.analysis.parameters == case.network.parameters()


@of(BY_BOTH)
def test_both_of_torchs_exporters_get_the_same_verdicts(case: Case) -> None:
    ours, other = case.analysis, analyze(exported(case.net, dynamo=not case.net.dynamo).file)
    for one, two in zip(_axes(ours), _axes(other), strict=True):
        assert (one.verdict, one.expected()) == (two.verdict, two.expected())
    assert ours.tiling.height == other.tiling.height
    assert ours.tiling.width == other.tiling.width
    assert ours.receptive_field == other.receptive_field
    assert ours.cost(96, 160).macs == other.cost(96, 160).macs
    assert ours.parameters == other.parameters


@of(BAKED)
def test_a_file_with_the_traced_size_in_it_is_another_network_elsewhere(case: Case) -> None:
    """An adaptive pool's windows show in the file; a Python `if` that was decided does not."""
    side = case.net.side
    assert case.network.is_right(side, side)
    assert not case.network.is_right(2 * side, side)
    vouched = {axis.verdict for axis in _axes(case.analysis)} <= {"free", "stepped"}
    assert vouched == (case.net.breaker is None)


def _axes(analysis: Analysis) -> tuple[AxisContract, AxisContract]:
    return analysis.sizes.height, analysis.sizes.width
