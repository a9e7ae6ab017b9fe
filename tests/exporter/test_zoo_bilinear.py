"""Interpolation by a transposed convolution, against torch's and numpy's own."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from torch.nn import functional as F  # noqa: E402

from anyres_exporter.zoo.bilinear import around_cells, interpolation, on_cells  # noqa: E402


def test_a_kernel_of_four_has_caffe_s_weights() -> None:
    along = torch.tensor([0.25, 0.75, 0.75, 0.25])
    weights = interpolation(3, 4, 2).weight
    for row in range(3):
        for column in range(3):
            expected = along[:, None] * along if row == column else torch.zeros(4, 4)
            assert torch.equal(weights[row, column], expected)


@pytest.mark.parametrize("factor", [2, 4, 8, 32])
def test_around_cells_it_is_torch_s_bilinear_interpolation_but_for_the_border(factor: int) -> None:
    cells = torch.randn(2, 3, 5, 4)
    with torch.inference_mode():
        answer = around_cells(3, factor)(cells)
    expected = F.interpolate(cells, scale_factor=float(factor), mode="bilinear")
    assert answer.shape == expected.shape
    inside = slice(factor // 2, -factor // 2)  # half a cell at the border has one neighbour only
    torch.testing.assert_close(answer[..., inside, inside], expected[..., inside, inside])


@pytest.mark.parametrize("factor", [2, 4, 8, 32])
def test_on_cells_each_cell_is_the_first_of_its_pixels_and_lines_lie_between(factor: int) -> None:
    cells = torch.randn(1, 2, 4, 5)
    with torch.inference_mode():
        answer = on_cells(2, factor)(cells).numpy()
    assert answer.shape == (1, 2, 4 * factor, 5 * factor)
    np.testing.assert_allclose(answer[..., ::factor, ::factor], cells, atol=1e-6)
    between = np.arange(4 * factor + 1) / factor
    for channel in range(2):
        for row in range(4):
            expected = np.interp(between, np.arange(5), cells[0, channel, row])
            found = answer[0, channel, row * factor, : 4 * factor + 1]
            np.testing.assert_allclose(found, expected, atol=1e-6)
