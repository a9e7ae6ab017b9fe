"""Our MobileNetV2 against torchvision's: the same names, the same numbers."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from anyres_exporter.sources.convolutionalize import convolutionalize  # noqa: E402
from anyres_exporter.zoo.mobilenet_v2 import MobileNetV2  # noqa: E402


@pytest.fixture(scope="module")
def theirs() -> Any:
    """torchvision's model; on a CPU build of torch its binary lacks two operators."""
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, operator):
            library.define(f"{operator}(Tensor dets, Tensor scores, float threshold) -> Tensor")
    models = pytest.importorskip("torchvision.models")
    torch.manual_seed(0)
    yield models.mobilenet_v2(weights=None).eval()
    del library


def test_a_torchvision_checkpoint_loads_as_it_is_and_gives_the_same_numbers(theirs: Any) -> None:
    ours = MobileNetV2().eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    image = torch.randn(2, 3, 96, 130)
    with torch.inference_mode():
        assert torch.equal(ours(image), theirs(image))


def test_it_has_the_published_number_of_parameters() -> None:
    assert sum(p.numel() for p in MobileNetV2().parameters()) == 3_504_872


def test_the_mean_of_the_dense_logits_is_the_classifiers_answer() -> None:
    torch.manual_seed(0)
    classifier = MobileNetV2(classes=10).eval()
    dense = convolutionalize(classifier).eval()
    image = torch.randn(1, 3, 224, 160)
    with torch.inference_mode():
        answers = dense(image)
        assert answers.shape == (1, 10, 7, 5)
        assert torch.allclose(answers.mean((2, 3)), classifier(image), atol=1e-5)
