"""Which sizes a proof runs: those at which a graph that is wrong somewhere shows it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from anyres_analyzer.sizes.contract import AxisContract, SizeContract  # noqa: E402
from anyres_exporter.proof.sizes import RESIDUES, sizes_to_prove  # noqa: E402


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
    assert any(h > 4 * w for _, h, w in proven)
    assert any(w > 4 * h for _, h, w in proven)
    assert {batch for batch, _, _ in proven} == {1, 3}


def test_a_fixed_axis_is_proven_at_its_size_alone() -> None:
    assert sizes_to_prove(contract(224, 1, 224), (1, 1)) == [(1, 224, 224), (3, 224, 224)]
