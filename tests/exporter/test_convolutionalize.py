"""FC heads as convolutions: at the native size the same answer, on a larger map one per window."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from torch import Tensor, nn  # noqa: E402

from anyres_exporter.errors import BadRecipe  # noqa: E402
from anyres_exporter.sources.convolutionalize import convolution_of, convolutionalize  # noqa: E402


class Flattening(nn.Module):
    """VGG's form: a map of 4 channels and 3x3 cells, flattened into two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 4, stride=4), nn.ReLU())
        self.classifier = nn.Sequential(
            nn.Linear(4 * 3 * 3, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 5)
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.classifier(torch.flatten(self.features(x), 1))
        return y


def test_at_the_native_size_it_is_the_same_network() -> None:
    model = Flattening().eval()
    image = torch.randn(2, 3, 12, 12)
    with torch.inference_mode():
        dense = convolutionalize(model, probe=(12, 12)).eval()(image)
        assert dense.shape == (2, 5, 1, 1)
        assert torch.allclose(dense[..., 0, 0], model(image), atol=1e-6)


def test_on_a_larger_image_each_cell_is_the_classifier_on_its_window() -> None:
    model = Flattening().eval()
    image = torch.randn(1, 3, 20, 28)
    with torch.inference_mode():
        dense = convolutionalize(model, probe=(12, 12)).eval()(image)
        assert dense.shape == (1, 5, 3, 5)
        for row in range(3):
            for column in range(5):
                crop = image[:, :, 4 * row : 4 * row + 12, 4 * column : 4 * column + 12]
                assert torch.allclose(dense[..., row, column], model(crop), atol=1e-6)


def test_the_weights_are_shared_and_none_is_added() -> None:
    model = Flattening()
    dense = convolutionalize(model, probe=(12, 12))
    count = [sum(p.numel() for p in m.parameters()) for m in (model, dense)]
    assert count[0] == count[1]


def test_a_linear_layer_that_is_no_window_is_refused_in_numbers() -> None:
    with pytest.raises(BadRecipe, match=r"over 30 values .* of 4 channels"):
        convolution_of(nn.Linear(30, 2), channels=4)


def test_a_model_without_a_head_is_refused_by_name() -> None:
    with pytest.raises(BadRecipe, match="Conv2d cannot be convolutionalized"):
        convolutionalize(nn.Conv2d(3, 1, 1))
