"""Which sizes a proof runs: those at which a graph that is wrong somewhere shows it."""

from __future__ import annotations

from typing import Any

import onnx.parser
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from anyres_analyzer import analyze  # noqa: E402
from anyres_analyzer.sizes.contract import AxisContract, SizeContract  # noqa: E402
from anyres_exporter.proof.sizes import RESIDUES, sizes_of, sizes_to_prove  # noqa: E402


def contract(minimum: int, step: int, maximum: int | None = None) -> SizeContract:
    axis = AxisContract("stepped", minimum, step, maximum, None, "")
    return SizeContract(axis, axis)


@given(minimum=st.integers(1, 40), step=st.integers(1, 16), times=st.integers(1, 16))
def test_every_size_is_admissible_and_every_residue_is_there(
    minimum: int, step: int, times: int
) -> None:
    alignment = step * times
    sizes = contract(minimum, step)
    proven = sizes_to_prove(sizes, (alignment, alignment))
    assert all(sizes.height.admits(h) and sizes.width.admits(w) for _, h, w in proven)
    residues = {size % alignment for size in range(minimum, minimum + alignment, step)}
    if times <= RESIDUES:
        assert {h % alignment for _, h, _ in proven} == residues
        assert {w % alignment for _, _, w in proven} == residues


@pytest.mark.parametrize("alignment", [1, 16, 128])
def test_the_minimum_both_sides_of_a_step_and_oblong_images_are_there(alignment: int) -> None:
    proven = sizes_to_prove(contract(1, 1), (alignment, alignment))
    heights = {h for _, h, _ in proven}
    assert {1, alignment, alignment + 1} <= heights
    assert alignment == 1 or alignment - 1 in heights
    assert (1, 1, 1) in proven
    assert {(1, 1, 8), (1, 8, 1)} <= set(proven)
    assert any(h > 4 * w for _, h, w in proven)
    assert any(w > 4 * h for _, h, w in proven)
    assert {batch for batch, _, _ in proven} == {1, 3}


def test_oblong_sizes_are_admissible_ones_of_eight_to_one() -> None:
    proven = {(h, w) for _, h, w in sizes_to_prove(contract(44, 4), (4, 4))}
    assert {(44, 352), (352, 44)} <= proven


def test_a_pinned_batch_is_the_only_one() -> None:
    assert sizes_to_prove(contract(224, 1, 224), (1, 1), (5,)) == [(5, 224, 224)]


@pytest.mark.parametrize("global_context", [False, True])
def test_residues_are_covered_although_no_tiles_can_be_exact(global_context: bool) -> None:
    """A stride of 4 has four residues, whether or not the map is also pooled as a whole."""
    last = "p = GlobalAveragePool (b) y = Add (b, p)" if global_context else "y = Relu (b)"
    graph: Any = onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["" : 17]>
        net (float[N,1,H,W] image) => (float[N,1,P,Q] y) {{
            a = MaxPool <kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]> (image)
            b = MaxPool <kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]> (a)
            {last} }}"""
    )
    proven = sizes_of(analyze(graph))
    assert {h % 4 for _, h, _ in proven} == {w % 4 for _, _, w in proven} == {0, 1, 2, 3}


def test_a_fixed_axis_is_proven_at_its_size_alone() -> None:
    assert sizes_to_prove(contract(224, 1, 224), (1, 1)) == [(1, 224, 224), (3, 224, 224)]
