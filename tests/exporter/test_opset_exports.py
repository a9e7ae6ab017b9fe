"""Networks as torch's exporter writes them, in every opset: the numbers of PyTorch eager."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.torch, pytest.mark.slow]

from torch import nn  # noqa: E402

from anyres_analyzer import analyze  # noqa: E402
from anyres_exporter.rewrite.any_size import AnySize, wrapped  # noqa: E402
from anyres_exporter.rewrite.opset import OLDEST, at_opset  # noqa: E402
from anyres_exporter.rewrite.pad_rule import pad_rule  # noqa: E402
from anyres_exporter.rewrite.simplify import simplified  # noqa: E402
from anyres_exporter.runtime import Runtime  # noqa: E402
from anyres_exporter.sources.families import from_family  # noqa: E402
from anyres_exporter.trace.tidy import tidy  # noqa: E402
from anyres_exporter.trace.trace import trace  # noqa: E402
from anyres_exporter.zoo.mobilenet_v2 import MobileNetV2  # noqa: E402
from anyres_exporter.zoo.unet import UNet  # noqa: E402

NEWEST = 22  # has group norm and Gelu as operators


class Varied(nn.Module):
    """What torch writes by operators that older opsets have not, or have otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.group, self.layer = nn.GroupNorm(2, 8), nn.LayerNorm(8)
        self.curves = nn.Sequential(nn.GELU(), nn.Hardswish(), nn.Mish(), nn.SiLU())

    def forward(self, image: Any) -> Any:
        x = self.group(self.stem(image))
        x = self.layer(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        left, right = self.curves(x).chunk(2, dim=1)
        larger = nn.functional.interpolate(left - right, scale_factor=2, mode="bilinear")
        return nn.functional.pad(larger, (1, 0, 0, 1), mode="replicate") * x.square().mean(
            (1, 2, 3), True
        )


def traced(model: nn.Module, folder: Path) -> onnx.ModelProto:
    graph = trace(
        model.eval(),
        torch.zeros(2, 3, 64, 64),
        ("scores",),
        dynamic_size=True,
        opset=NEWEST,
        log=folder / "log",
    )
    tidy(graph)
    return graph


def differs(model: nn.Module, graph: onnx.ModelProto, *shape: int) -> float:
    """The largest error, relative to the largest value."""
    image = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = model(image).numpy()
    actual = Runtime(graph, threads=1)(image.numpy())["scores"]
    assert actual.shape == expected.shape
    return float(np.abs(actual - expected).max() / np.abs(expected).max())


THIRD_PARTY = (
    "torchvision:resnet18 torchvision:mobilenet_v3_small timm:convnext_atto smp:FPN/resnet18"
).split()
LARGE = ("mobilenet", *THIRD_PARTY)
OWN: dict[str, Callable[[], nn.Module]] = {"varied": Varied, "mobilenet": MobileNetV2}


@pytest.mark.parametrize(
    "name", ["varied", *(pytest.param(n, marks=pytest.mark.exhaustive) for n in LARGE)]
)
def test_a_network_is_the_same_in_every_opset(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = (OWN[name]() if name in OWN else from_family(name, {})).eval()
    graph = traced(model, tmp_path)
    sizes = analyze(graph).sizes
    for opset in range(OLDEST, NEWEST + 1):
        older = at_opset(graph, opset)
        assert older.ir_version <= graph.ir_version
        assert differs(model, older, 1, 3, 64, 96) < 1e-5
        assert analyze(older).sizes.height.step == sizes.height.step
    assert differs(model, simplified(graph), 2, 3, 96, 64) < 1e-5


def test_a_padded_network_takes_any_size_in_the_oldest_opset(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = UNet(classes=2, width=2, depth=2).eval()
    graph = traced(network, tmp_path)
    rule = pad_rule(analyze(graph), "reflect")
    assert rule is not None
    older = at_opset(wrapped(graph, rule), OLDEST)
    for height, width in [(1, 1), (7, 30), (33, 5), (64, 64)]:
        assert differs(AnySize(network, rule), older, 1, 3, height, width) < 1e-5
