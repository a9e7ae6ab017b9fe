"""A network on a coarser grid: what it sees, what it answers, where the answers lie."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from anyres_exporter.zoo.coarse import Coarse, coarse_unet  # noqa: E402


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_the_output_is_as_large_as_the_input(factor: int) -> None:
    model = coarse_unet(classes=5, width=2, depth=2, widest=4, factor=factor).eval()
    size = (4 * factor, 3 * 4 * factor)
    assert model(torch.zeros(2, 3, *size)).shape == (2, 5, *size)


def test_the_network_is_given_the_means_of_its_cells() -> None:
    seen = []
    model = Coarse(torch.nn.Identity(), factor=2)
    model.network.register_forward_hook(lambda _, given, __: seen.append(given[0]))
    image = torch.arange(32.0).reshape(1, 1, 4, 8)
    model(image)
    expected = image.numpy().reshape(2, 2, 4, 2).mean(axis=(1, 3))
    np.testing.assert_array_equal(seen[0][0, 0], expected)


@pytest.mark.parametrize("factor", [2, 4])
def test_a_ramp_stays_a_ramp_in_its_place(factor: int) -> None:
    # Means over cells and linear interpolation between their centres keep a linear picture as it
    # is, pixel for pixel, but for the half cell at each border that has one neighbour only.
    ramp = torch.arange(8.0 * factor).reshape(1, 1, 1, -1).expand(1, 1, 2 * factor, -1)
    answer = Coarse(torch.nn.Identity(), factor)(ramp)
    inside = slice(factor // 2, -factor // 2)
    torch.testing.assert_close(answer[..., inside], ramp[..., inside])
    assert (answer[..., 0] > ramp[..., 0]).all()


def test_a_size_between_two_steps_fails_rather_than_being_resized() -> None:
    model = coarse_unet(classes=2, width=2, depth=1, factor=2).eval()
    with pytest.raises(RuntimeError, match="Sizes of tensors must match"):
        model(torch.zeros(1, 3, 6, 4))
