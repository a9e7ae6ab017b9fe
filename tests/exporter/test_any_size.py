"""A stepped network inside pad and crop: the graph against the same in PyTorch eager."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyres_proto.card import Card, Description, Padding

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from torch import Tensor, nn  # noqa: E402

from anyres_analyzer import analyze  # noqa: E402
from anyres_exporter.export import export  # noqa: E402
from anyres_exporter.request import Sizes  # noqa: E402
from anyres_exporter.rewrite.any_size import AnySize, PadMode, PadToStep  # noqa: E402
from anyres_exporter.zoo.unet import UNet  # noqa: E402


@given(size=st.integers(1, 500), step=st.integers(1, 40), extra=st.integers(0, 60))
def test_an_image_is_padded_to_the_smallest_size_that_holds_it(
    size: int, step: int, extra: int
) -> None:
    minimum = step + extra
    missing = PadToStep(step, minimum, "edge", (Fraction(1), Fraction(1))).missing(size)
    admissible = (minimum + k * step for k in range(10_000))
    assert size + missing == next(target for target in admissible if target >= size)
    assert missing == Padding(step=step, minimum=minimum, mode="edge").missing(size)


@pytest.mark.parametrize("mode", ["edge", "constant"])
def test_every_size_from_1x1_to_20x20_equals_eager(mode: PadMode, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = UNet(classes=2, width=4, depth=2).eval()
    path = export(
        network,
        Description(name="unet", task="segmentation"),
        tmp_path,
        sizes=Sizes((16, 16), any_size=mode),
    )
    oracle = AnySize(network, PadToStep(4, 4, mode, (Fraction(1), Fraction(1))))
    session = ort.InferenceSession(path)
    for height, width in [*product(range(1, 21), repeat=2), (7, 1001), (1, 333), (300, 451)]:
        image = torch.randn(1, 3, height, width)
        with torch.inference_mode():
            expected = oracle(image).numpy()
        (actual,) = session.run(None, {"image": image.numpy()})
        assert actual.shape == (1, 2, height, width)
        assert np.abs(actual - expected).max() < 1e-5


def test_padding_that_changes_nothing_is_not_added(tmp_path: Path) -> None:
    path = export(
        nn.Conv2d(3, 2, 3, padding=1),
        Description(name="conv", task="segmentation"),
        tmp_path,
        sizes=Sizes((16, 16), any_size="edge"),
    )
    model = onnx.load(path)
    assert "Pad" not in {node.op_type for node in model.graph.node}
    assert Card.model_validate_json(model.metadata_props[0].value).padding is None


def test_a_strided_network_with_a_minimum_keeps_its_grid(tmp_path: Path) -> None:
    """Two unpadded convolutions need 7 pixels; a stride of 2 halves the grid, rounded up."""

    class Valid(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.down = nn.Conv2d(3, 4, 2, stride=2)
            self.up = nn.ConvTranspose2d(4, 4, 2, stride=2)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = x[:, :1] + self.up(self.down(x))
            return y

    path = export(
        Valid(),
        Description(name="valid", task="regression"),
        tmp_path,
        sizes=Sizes((16, 16), any_size="edge"),
    )
    analysis = analyze(path)
    assert (analysis.sizes.height.verdict, analysis.sizes.height.minimum) == ("free", 1)
    session = ort.InferenceSession(path)
    (odd,) = session.run(None, {"image": np.zeros((1, 3, 5, 9), np.float32)})
    assert odd.shape == (1, 4, 5, 9)
