"""The U-Net against its paper: sizes, parameters, and what one output pixel can see."""

from __future__ import annotations

from itertools import pairwise

import pytest

torch = pytest.importorskip("torch")

from anyres_exporter.zoo.unet import UNet, original_unet  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.mark.parametrize(("width", "depth"), [(2, 1), (3, 2), (4, 3)])
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 3), (3, 2)])
def test_the_output_is_as_large_as_the_input_at_every_multiple_of_the_step(
    width: int, depth: int, rows: int, columns: int
) -> None:
    unet = UNet(in_channels=3, classes=5, width=width, depth=depth).eval()
    height, breadth = rows * unet.step, columns * unet.step
    assert unet.step == 2**depth
    assert unet(torch.zeros(2, 3, height, breadth)).shape == (2, 5, height, breadth)


@pytest.mark.parametrize("missing", [1, 2, 3])
def test_a_size_between_two_steps_fails_rather_than_being_resized(missing: int) -> None:
    unet = UNet(width=2, depth=2).eval()
    with pytest.raises(RuntimeError, match="Sizes of tensors must match"):
        unet(torch.zeros(1, 3, 16 - missing, 16))


@pytest.mark.parametrize(("in_channels", "classes"), [(1, 2), (3, 6)])
def test_the_paper_s_size_has_the_paper_s_parameters(in_channels: int, classes: int) -> None:
    with torch.device("meta"):
        unet = UNet(in_channels=in_channels, classes=classes, width=64, depth=4)
    # Without batch norm the paper's network has 31 030 528 + 576 (c_in - 1) + 65 n_classes. Batch
    # norm's shift stands for the bias; its scale is one more for every 3x3 convolution's channel.
    scales = 2 * (64 + 128 + 256 + 512 + 1024) + 2 * (512 + 256 + 128 + 64)
    published = 31_030_528 + 576 * (in_channels - 1) + 65 * classes
    assert sum(p.numel() for p in unet.parameters()) == published + scales


@pytest.mark.parametrize(
    ("widths", "widest"),
    [([1, 2], None), ([2, 4, 8, 16], None), ([5, 10, 12], 12), ([8, 12, 12, 12], 12), ([3, 3], 3)],
)
def test_parameters_follow_from_the_widths_of_the_levels(
    widths: list[int], widest: int | None
) -> None:
    expected = _convolutions(3, widths[0]) + 6 * (widths[0] + 1)  # the first level, the head
    for above, below in pairwise(widths):
        expected += _convolutions(above, below)
        expected += 4 * below * above + above  # the transposed convolution on the way up
        expected += _convolutions(2 * above, above)
    with torch.device("meta"):
        unet = UNet(3, 6, width=widths[0], depth=len(widths) - 1, widest=widest)
    assert sum(p.numel() for p in unet.parameters()) == expected


def _convolutions(before: int, channels: int) -> int:
    """Two 3x3 convolutions without bias, a scale and a shift for each one's channels."""
    return 9 * (before + channels) * channels + 2 * 2 * channels


def test_a_pixel_sees_its_receptive_field_and_nothing_else() -> None:
    unet = UNet(in_channels=1, classes=1, width=1, depth=1).eval()
    for parameter in unet.parameters():
        torch.nn.init.ones_(parameter)  # with positive weights no change can cancel out
    # Pixel 16 reads 14..18 through the last two convolutions, which are cells 7..9 of level 1,
    # 5..11 before its convolutions, 10..23 before the pooling, 8..25 before the first two.
    brighter_row = torch.ones(32, 1, 32, 32) + torch.eye(32).reshape(32, 1, 32, 1)
    answers = unet(torch.cat([torch.ones(1, 1, 32, 32), brighter_row]))[:, 0, 16, 16]
    assert (answers[1:] != answers[0]).nonzero().flatten().tolist() == list(range(8, 26))


def test_the_output_depends_on_every_parameter() -> None:
    torch.manual_seed(1)
    unet = UNet(width=4, depth=2)
    unet(torch.rand(2, 3, 16, 16)).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in unet.parameters())


@pytest.mark.parametrize(("pixels", "answered"), [(188, 4), (204, 20), (572, 388)])
def test_the_paper_s_network_answers_for_what_it_sees_whole(pixels: int, answered: int) -> None:
    with torch.inference_mode():
        answer = original_unet(width=1)(torch.zeros(1, 1, pixels, 572))
    assert answer.shape == (1, 2, answered, 388)


@pytest.mark.parametrize(("depth", "smallest"), [(1, 18), (2, 44), (3, 92), (4, 188)])
def test_valid_it_takes_its_steps_from_the_smallest_size_on_and_nothing_between(
    depth: int, smallest: int
) -> None:
    # depth 2: 4 cells from the bottom are 8 above, 4 behind two convolutions, 8 and 4 at the end;
    # 3 from the bottom would be 6, 2, 4 and none. So 8 go into it, 16 + 4 above, 40 + 4 pixels.
    step, several = 2**depth, 3
    taken = [
        pixels
        for pixels in range(smallest - step, smallest + several * step)
        if valid_unet_takes(pixels, depth)
    ]
    assert taken == [smallest + step * k for k in range(several)]


def valid_unet_takes(pixels: int, depth: int) -> bool:
    unet = original_unet(width=1, depth=depth)
    try:
        with torch.inference_mode():
            answer = unet(torch.zeros(1, 1, pixels, pixels))
    except RuntimeError:
        return False
    return bool(answer.numel())


def test_valid_and_of_one_pooling_it_is_the_same_padded_one_away_from_the_border() -> None:
    torch.manual_seed(0)
    same, valid = (UNet(width=2, depth=1, valid=valid).eval() for valid in (False, True))
    valid.load_state_dict(same.state_dict())
    image = torch.randn(1, 3, 38, 42)
    with torch.inference_mode():
        torch.testing.assert_close(valid(image), same(image)[:, :, 8:-8, 8:-8])
