"""The same conversion on the module and on the graph that either of torch's exporters writes.

The module is converted by `sources.convolutionalize`, layer by layer in eager torch, and knows
nothing of graphs; whatever the exporter makes of flattening and pooling, both must answer alike.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from tests.exporter.convolutionalize_exports import Exporter, exported  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from anyres_exporter.rewrite.convolutionalize.call import Pool  # noqa: E402
from anyres_exporter.rewrite.convolutionalize.convert import convert  # noqa: E402
from anyres_exporter.rewrite.convolutionalize.native import prove  # noqa: E402
from anyres_exporter.rewrite.convolutionalize.source import classifier  # noqa: E402
from anyres_exporter.runtime import Runtime  # noqa: E402
from anyres_exporter.sources.convolutionalize import convolutionalize  # noqa: E402
from anyres_exporter.zoo.mobilenet_v2 import MobileNetV2  # noqa: E402

EXPORTERS = pytest.mark.parametrize("exporter", ["script", "dynamo"])
# torch's new exporter takes half a minute for the 52 convolutions.
EXPORTERS_OF_MOBILENET = pytest.mark.parametrize(
    "exporter", ["script", pytest.param("dynamo", marks=pytest.mark.exhaustive)]
)


class AlexNetLike(nn.Module):
    """Adaptive pooling to the 3x3 cells that its native size of 43 has anyway."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(3, 6, 7, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 1)),
        )
        self.avgpool = nn.AdaptiveAvgPool2d((3, 3))
        self.classifier = nn.Sequential(
            *(nn.Dropout(), nn.Linear(8 * 9, 16), nn.ReLU(), nn.Dropout()),
            *(nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 5)),
        )

    def forward(self, image: Tensor) -> Tensor:
        answer: Tensor = self.classifier(torch.flatten(self.avgpool(self.features(image)), 1))
        return answer


class VGGLike(nn.Module):
    """Padded convolutions, halved three times, flattened without a pool; `view` as old code has."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in ((3, 6), (6, 8), (8, 8)):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Linear(8 * 16, 12), nn.ReLU(), nn.Linear(12, 5))

    def forward(self, image: Tensor) -> Tensor:
        maps = self.features(image)
        answer: Tensor = self.classifier(maps.view(maps.size(0), -1))
        return answer


def mobilenet() -> nn.Module:
    """Ours, with statistics of noise in its norms, so that its answers tell images apart."""
    model = MobileNetV2(classes=7)
    model(torch.randn(4, 3, 64, 64))
    return model


FLATTENING: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "AlexNet-like": (AlexNetLike, 43),
    "VGG-like": (VGGLike, 32),
}


@EXPORTERS
@pytest.mark.parametrize("name", FLATTENING)
def test_the_graph_answers_as_the_converted_module(name: str, exporter: Exporter) -> None:
    torch.manual_seed(0)
    build, side = FLATTENING[name]
    model = build().eval()
    image = torch.randn(2, 3, side + 37, side + 66)
    with torch.inference_mode():
        told = convolutionalize(model, probe=(side, side)).eval()(image)
    made = convert(classifier(exported(model, side, exporter)))
    assert prove(made).max_rel_error < 1e-5
    found = torch.from_numpy(Runtime(made.model)(image.numpy())["logits"])
    assert found.shape == told.shape
    assert (found - told).abs().max() < 1e-5 * told.abs().max()


@EXPORTERS_OF_MOBILENET
def test_a_pool_is_dropped_as_in_the_module_or_averages_its_answers(exporter: Exporter) -> None:
    torch.manual_seed(0)
    model = mobilenet().eval()
    image = torch.randn(1, 3, 128, 192)
    with torch.inference_mode():
        cells = convolutionalize(model, probe=(64, 64)).eval()(image)
    source = classifier(exported(model, 64, exporter))
    told = {"drop": cells, "keep": nn.functional.avg_pool2d(cells, 2, stride=1)}
    pools: tuple[Pool, ...] = ("drop", "keep")
    for pool in pools:
        made = convert(source, pool=pool)
        assert prove(made).max_rel_error < 1e-5
        found = torch.from_numpy(Runtime(made.model)(image.numpy())["logits"])
        assert found.shape == told[pool].shape
        assert (found - told[pool]).abs().max() < 1e-5 * told[pool].abs().max()
