"""Classifiers that others publish, by both of torch's exporters: what slides, and what does not.

`least` is the smallest image that holds one patch. Worked out by hand for ResNet-18: 7 cells of a
stride of 32 that rounds up need 6 * 32 + 1 = 193 pixels; VGG11, which rounds down, 7 * 32 = 224;
AlexNet 6 cells behind three 3x3 pools and a 7x7 convolution of stride 4, 223. Weights are random.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.torch, pytest.mark.exhaustive]

from tests.exporter.convolutionalize_exports import Exporter, exported  # noqa: E402

from anyres_exporter.rewrite.convolutionalize.convert import convert  # noqa: E402
from anyres_exporter.rewrite.convolutionalize.native import prove  # noqa: E402
from anyres_exporter.rewrite.convolutionalize.refusal import NotConvertible  # noqa: E402
from anyres_exporter.rewrite.convolutionalize.source import classifier  # noqa: E402


@dataclass(frozen=True)
class Slides:
    """One answer is made of `window` x `window` cells, and they are `stride` pixels apart.

    `local` where no layer looks at the whole image; `linear` where nothing behind the pool bends,
    so that the mean of the cells is the classifier's answer.
    """

    window: int
    least: int
    stride: int = 32
    local: bool = True
    linear: bool = True
    pooled: bool = True


@dataclass(frozen=True)
class Refused:
    """By a node of this operator, for a reason with these words."""

    operator: str
    words: str


Verdict = Slides | Refused
SEVEN = Slides(7, 193)
SQUEEZED, BENT = Slides(7, 193, local=False), Slides(7, 193, local=False, linear=False)
TRANSFORMER = Refused("MatMul", "multiplies the map with itself (attention)")
VERDICTS: dict[str, Verdict | dict[Exporter, Verdict]] = {
    "torchvision:alexnet": Slides(6, 223, pooled=False),
    "torchvision:vgg11": Slides(7, 224, pooled=False),
    "torchvision:resnet18": SEVEN,
    "torchvision:mobilenet_v2": SEVEN,
    "torchvision:mobilenet_v3_small": BENT,
    "torchvision:efficientnet_b0": SQUEEZED,
    "torchvision:squeezenet1_1": Slides(13, 209, 16),
    "torchvision:shufflenet_v2_x0_5": SEVEN,
    "torchvision:mnasnet0_5": SEVEN,
    "torchvision:regnet_y_400mf": SQUEEZED,
    "torchvision:densenet121": Slides(7, 221),
    "torchvision:swin_t": Refused("Reshape", "it keeps H"),
    "timm:resnet10t": SEVEN,
    "timm:regnetx_002": SEVEN,
    "timm:repvgg_a0": SEVEN,
    "timm:convnext_atto": Slides(7, 224, linear=False),
    "timm:mobilenetv3_small_050": BENT,
    "timm:efficientnet_lite0": SEVEN,
    "timm:ghostnet_050": BENT,
    "timm:poolformer_s12": {
        "script": Slides(7, 195, local=False, linear=False),
        "dynamo": Refused("Reshape", "it makes [1, 64, 56, 56]"),  # baked into its group norm
    },
    "timm:vit_tiny_patch16_224": TRANSFORMER,
    "timm:mixer_s32_224": Refused("MatMul", "contracts cells and keeps the channels apart"),
}


def built(name: str) -> Any:
    library, _, own = name.partition(":")
    torch.manual_seed(0)
    if library == "timm":
        return pytest.importorskip("timm").create_model(own, pretrained=False).eval()
    models = pytest.importorskip("torchvision.models")
    return getattr(models, own)(weights=None).eval()


@pytest.fixture(scope="module", autouse=True)
def torchvision_on_cpu() -> Iterator[None]:
    """On a CPU build of torch, torchvision's binary lacks two operators."""
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, operator):
            library.define(f"{operator}(Tensor dets, Tensor scores, float threshold) -> Tensor")
    yield
    del library


@pytest.mark.parametrize("exporter", ["script", "dynamo"])
@pytest.mark.parametrize("name", VERDICTS)
def test_it_slides_or_is_refused_for_what_it_is(name: str, exporter: Exporter) -> None:
    source = classifier(exported(built(name), 224, exporter))
    found = VERDICTS[name]
    verdict = found[exporter] if isinstance(found, dict) else found
    if isinstance(verdict, Refused):
        with pytest.raises(NotConvertible) as caught:
            convert(source)
        assert f"({verdict.operator})" in (caught.value.node or "")
        assert verdict.words in str(caught.value)
        return
    made = convert(source)
    assert prove(made).max_rel_error < 1e-5
    assert made.answer.window == (verdict.window, verdict.window)
    for axis, stride in zip(
        (made.analysis.sizes.height, made.analysis.sizes.width),
        made.analysis.output.stride,
        strict=True,
    ):
        assert (axis.verdict, axis.minimum, stride) == (
            "free",
            verdict.least,
            Fraction(verdict.stride),
        )
    assert (not made.analysis.tiling.breakers) == verdict.local
    dropped = convert(source, pool="drop")
    assert prove(dropped).max_rel_error < 1e-5
    assert dropped.answer.dropped == verdict.pooled
    assert (dropped.answer.bent is None) == verdict.linear
