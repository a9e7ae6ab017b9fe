"""What every network of the zoo is held to: sizes, channels, export, parity, tiles, card.

Each is made a few channels wide, with weights that keep its answers lively, exported once, and held
against PyTorch eager.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from anyres_analyzer import Analysis, analyze
from anyres_analyzer.tiling.plan import AxisRule, Tile, cut, plan
from anyres_proto.card import METADATA_KEY, AxisTiling, Card

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from tests.exporter.lively import spread  # noqa: E402
from tests.exporter.zoo_cases import QUICK, SLOW, Case  # noqa: E402
from torch import nn  # noqa: E402

from anyres_exporter.errors import NotProven  # noqa: E402
from anyres_exporter.export import export  # noqa: E402
from anyres_exporter.proof.compare import answers_of, noise  # noqa: E402
from anyres_exporter.proof.difference import TOLERANCE  # noqa: E402
from anyres_exporter.request import Sizes  # noqa: E402
from anyres_exporter.runtime import Runtime  # noqa: E402
from anyres_exporter.trace.outputs import named  # noqa: E402
from anyres_exporter.zoo.catalogue import CATALOGUE  # noqa: E402

Answers: TypeAlias = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Exported:
    """A network and its file."""

    case: Case
    model: nn.Module = field(repr=False)
    path: Path

    @cached_property
    def card(self) -> Card:
        stored = {entry.key: entry.value for entry in onnx.load(self.path).metadata_props}
        return Card.model_validate_json(stored[METADATA_KEY])

    @cached_property
    def analysis(self) -> Analysis:
        return analyze(self.path)

    def image(self, batch: int, height: int, width: int) -> NDArray[np.float32]:
        return noise(batch, self.case.entry.channels, height, width)


def params(cases: tuple[Case, ...], *marks: pytest.MarkDecorator) -> list[Any]:
    return [
        pytest.param(
            case, marks=marks, id=" ".join(map(str, (case.name, *case.arguments.values())))
        )
        for case in cases
    ]


@pytest.fixture(scope="module", params=params(QUICK) + params(SLOW, pytest.mark.exhaustive))
def net(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    case: Case = request.param
    model = case.made()
    sizes = Sizes(case.entry.size, dynamic=case.entry.dense)
    return Exported(
        case, model, export(model, case.description(), tmp_path_factory.mktemp("zoo"), sizes=sizes)
    )


def test_every_network_of_the_catalogue_is_held_to_this() -> None:
    assert {case.name for case in (*QUICK, *SLOW)} == set(CATALOGUE)


@pytest.mark.parametrize("name", CATALOGUE)
def test_without_arguments_it_takes_an_image_as_the_catalogue_says(name: str) -> None:
    entry = CATALOGUE[name]
    with torch.device("meta"):
        answer = entry.factory().eval()(torch.empty(1, entry.channels, *entry.size))
    assert {each.dim() for each in named(answer).values()} == {4 if entry.dense else 2}


def test_sizes_are_those_of_its_architecture_and_nobody_declares_more(net: Exported) -> None:
    sizes = net.analysis.sizes
    for axis, traced in zip((sizes.height, sizes.width), net.case.entry.size, strict=True):
        if net.case.takes is None:
            assert (axis.verdict, axis.minimum, axis.maximum) == ("fixed", traced, traced)
        else:
            verdict = "free" if net.case.takes[1] == 1 else "stepped"
            assert (axis.verdict, axis.minimum, axis.step) == (verdict, *net.case.takes)
            assert axis.maximum is None
        assert tuple(further.minimum for further in axis.also) == net.case.also
    height, width = onnx.load(net.path).graph.input[0].type.tensor_type.shape.dim[2:]
    assert bool(height.dim_param and width.dim_param) == net.case.entry.dense


def test_each_output_has_its_name_its_channels_and_its_place(net: Exported) -> None:
    outputs = net.card.outputs
    assert {output.name: output.channels for output in outputs} == net.case.outputs
    assert {output.dense for output in outputs} == {net.case.entry.dense}
    if net.case.entry.dense:
        assert {side for output in outputs for side in output.stride} == {1}
        assert {side for output in outputs for side in output.offset} == {net.case.offset}


def test_where_paths_meet_they_are_of_one_stride_and_centred_on_the_same_pixels(
    net: Exported,
) -> None:
    for output in net.analysis.outputs:
        assert not output.accidents
        assert not output.misaligned


def test_onnx_runtime_gives_what_pytorch_gives(net: Exported) -> None:
    runtime, eager = Runtime(net.path), answers_of(net.model)
    for size in sizes_to_try(net):
        image = net.image(2, *size)
        for (name, answer), expected in zip(
            runtime(image).items(), eager(image).values(), strict=True
        ):
            assert answer.shape == expected.shape, (name, size)
            limit = TOLERANCE * np.abs(expected).max()
            np.testing.assert_allclose(answer, expected, atol=limit, rtol=0, err_msg=f"{size}")


def sizes_to_try(net: Exported) -> Iterator[tuple[int, int]]:
    """(h, w): the smallest, oblong ones, odd ones where there are."""
    height, width = net.analysis.sizes.height, net.analysis.sizes.width
    yield from dict.fromkeys(
        (height.at_least(rows), width.at_least(columns))
        for rows, columns in ((1, 1), (1, 90), (131, 1), (61, 97), (80, 51))
    )


def test_its_answers_depend_on_the_image_everywhere(net: Exported) -> None:
    image = net.image(2, *net.case.entry.size)
    image[1] = 0.3 * image[1] + 1
    for answer in answers_of(net.model)(image).values():
        assert spread(torch.from_numpy(answer)) > 0.01, "the other tests compare constants"


def test_tiles_are_the_whole_or_nobody_says_so(net: Exported) -> None:
    card = net.card
    if not net.case.entry.dense:
        assert not card.tiling.exact
        assert card.tiling.breakers
        return
    assert card.tiling.height is not None
    assert card.tiling.width is not None
    runtime = Runtime(net.path)
    long = [uncut(rule) for rule in (card.tiling.height, card.tiling.width)]
    axes = net.analysis.sizes.height, net.analysis.sizes.width
    for size in ((long[0], 48), (48, long[1])):
        height, width = (axis.at_least(side) for axis, side in zip(axes, size, strict=True))
        image = net.image(1, height, width)
        whole = runtime(image)
        tiles = plan(
            (height, width), (core(card.tiling.height), core(card.tiling.width)), rules(card)
        )
        assert len(tiles) > 2
        stitched = {name: np.full_like(answer, np.nan) for name, answer in whole.items()}
        for tile in tiles:
            paste(stitched, runtime(source(image, tile)), tile, (height, width))
        for name, answer in whole.items():
            limit = 1e-5 * np.abs(answer).max()
            np.testing.assert_allclose(stitched[name], answer, atol=limit, rtol=0, err_msg=name)


def core(rule: AxisTiling) -> int:
    return rule.alignment * -(-24 // rule.alignment)


def uncut(rule: AxisTiling) -> int:
    """Longer than any tile: a first, an inner and a last one."""
    return (rule.minimum_tile or 0) + 2 * core(rule) + rule.alignment // 2 + 1


def rules(card: Card) -> tuple[AxisRule, AxisRule]:
    height, width = (
        AxisRule(rule.alignment, rule.halo_before, rule.halo_after, axis.minimum, axis.step)
        for rule, axis in (
            (card.tiling.height, card.sizes.height),
            (card.tiling.width, card.sizes.width),
        )
        if rule is not None
    )
    return height, width


def source(image: NDArray[Any], tile: Tile) -> NDArray[Any]:
    rows, columns = tile.rows, tile.columns
    return np.ascontiguousarray(image[:, :, rows.start : rows.stop, columns.start : columns.stop])


def paste(stitched: Answers, part: Answers, tile: Tile, size: tuple[int, int]) -> None:
    """What a tile answers for, in its place."""
    for name, whole in stitched.items():
        rows, columns = (
            cut(axis, Fraction(1), pixels, outputs)
            for axis, pixels, outputs in zip(
                (tile.rows, tile.columns), size, whole.shape[2:], strict=True
            )
        )
        whole[:, :, rows.whole, columns.whole] = part[name][:, :, rows.part, columns.part]


def test_its_card_is_complete(net: Exported) -> None:
    card = net.card
    assert (card.name, card.task) == (net.case.name, net.case.entry.task)
    assert card.input.channels == net.case.entry.channels
    assert card.parameters == exported_parameters(net.model)
    assert card.cost is not None
    assert card.cost.at
    assert card.cost.formula is not None
    assert {proof.batch for proof in card.proofs} == {1, 3}
    assert max(proof.max_rel_error for proof in card.proofs) <= TOLERANCE
    assert all(net.analysis.sizes.admits(proof.height, proof.width) for proof in card.proofs)
    assert card.sizes.height.reason
    assert (card.receptive_field is not None) == net.case.entry.dense
    assert {"anyres", "onnx", "torch"} <= set(card.provenance)


def exported_parameters(model: nn.Module) -> int:
    """Scale and shift of a batch norm become one bias of the convolution before it."""
    folded = sum(m.num_features for m in model.modules() if isinstance(m, nn.BatchNorm2d))
    return sum(parameter.numel() for parameter in model.parameters()) - folded


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", [name for name, entry in CATALOGUE.items() if not entry.dense])
def test_a_head_with_one_answer_is_refused_where_sizes_are_to_be_open(
    name: str, tmp_path: Path
) -> None:
    case = next(case for case in (*SLOW, *QUICK) if case.name == name)
    with pytest.raises(NotProven, match=f"of '{name}' cannot be dynamic: "):
        export(case.made(), case.description(), tmp_path, sizes=Sizes(case.entry.size))
    assert not list(tmp_path.glob("*.onnx"))
