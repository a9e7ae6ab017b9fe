"""Our MobileNetV2 without its pooling; its names and numbers are in test_zoo_torchvision."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from anyres_exporter.sources.convolutionalize import convolutionalize  # noqa: E402
from anyres_exporter.zoo.mobilenet_v2 import MobileNetV2  # noqa: E402


def test_the_mean_of_the_dense_logits_is_the_classifiers_answer() -> None:
    torch.manual_seed(0)
    classifier = MobileNetV2(classes=10).eval()
    dense = convolutionalize(classifier).eval()
    image = torch.randn(1, 3, 224, 160)
    with torch.inference_mode():
        answers = dense(image)
        assert answers.shape == (1, 10, 7, 5)
        assert torch.allclose(answers.mean((2, 3)), classifier(image), atol=1e-5)
