"""Networks that others publish, and what their architecture says of any image size.

The numbers in the table are worked out by hand from the layers, not copied from a report. Example,
torchvision's SqueezeNet 1.1: a 3x3 convolution of stride 2, three 3x3 pools of stride 2 that round
up, eight fire modules with one 3x3 layer each. The last pool needs 2 cells, so those before it 4
and 8, so the image 17 pixels; one output sees 3 + 4 + 2*8 + 8 + 2*16 + 16 + 4*32 = 207 pixels and
moves by 16.

Widths and depths are cut down where that changes no verdict. Weights are random.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402


@dataclass(frozen=True)
class Takes:
    """The sizes of one axis that go through: minimum + k * step, up to maximum.

    The same step from other sizes, where layers that round up make them equal, is in `also`.
    """

    minimum: int
    step: int = 1
    maximum: int | None = None
    also: tuple[int, ...] = ()

    @property
    def verdict(self) -> str:
        """The analyzer's word for it."""
        if self.maximum is not None:
            return "fixed"
        return "free" if self.step == 1 else "stepped"


@dataclass(frozen=True)
class Net:
    """One row: how to make the network, and what is true of it along either axis.

    `field` is the receptive field's size and stride where tiles are exact; elsewhere `breaker`
    is the operator that a reader should see named.
    """

    name: str
    build: Callable[[], nn.Module]  # (n, 3, h, w) -> one tensor
    takes: Takes
    side: int = 64  # traced at side x side
    field: tuple[int, int] | None = None
    breaker: str | None = None
    dynamo: bool = False  # torch's exporter: the new one, else the old one with dynamic_axes
    patch: int = 1  # the module insists on multiples; the file ignores the rim

    def __str__(self) -> str:
        return self.name


def _torchvision(path: str, **options: Any) -> Any:
    models = pytest.importorskip("torchvision.models")
    family, _, name = path.rpartition(".")
    return getattr(getattr(models, family) if family else models, name)(**options)


def _features(path: str, **options: Any) -> Any:
    return _torchvision(path, **options).features


def _children(name: str, last: str) -> Any:
    """A torchvision network from its first layer to the one named."""
    model = _torchvision(name, weights=None)
    names = [child for child, _ in model.named_children()]
    kept = names[: names.index(last) + 1]
    return nn.Sequential(*(getattr(model, child) for child in kept))


def _timm(name: str, **options: Any) -> Any:
    return pytest.importorskip("timm").create_model(name, pretrained=False, **options)


def _trunk(name: str, **options: Any) -> Any:
    return _timm(name, num_classes=0, global_pool="", **options)


def _smp(decoder: str) -> Any:
    """Its own check of the size is not in an exported file; the layers are."""
    smp = pytest.importorskip("segmentation_models_pytorch")
    model = getattr(smp, decoder)("resnet18", encoder_weights=None)
    model.check_input_shape = lambda image: None
    return model


class _Masks(nn.Module):
    """A torchvision segmenter returns a dictionary."""

    def __init__(self, segmenter: nn.Module) -> None:
        super().__init__()
        self.segmenter = segmenter

    def forward(self, image: Any) -> Any:
        return self.segmenter(image)["out"]


def _segmenter(name: str) -> Any:
    options = {"weights": None, "weights_backbone": None}
    return _Masks(_torchvision(f"segmentation.{name}_mobilenet_v3_large", **options))


def _alexnet() -> Any:
    model = _torchvision("alexnet")
    model.classifier = nn.Linear(256 * 6 * 6, 10)
    return model


def _vgg() -> Any:
    layers = [64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"]
    return _torchvision("vgg.make_layers", cfg=layers)


def _fcn() -> Any:
    """torchvision's FCN on its ResNet-18: the logits are interpolated to the image's own size."""
    fcn = pytest.importorskip("torchvision.models.segmentation.fcn")
    named = pytest.importorskip("torchvision.models._utils").IntermediateLayerGetter
    backbone = named(_torchvision("resnet18", weights=None), {"layer4": "out"})
    return _Masks(fcn.FCN(backbone, fcn.FCNHead(512, 3)))


def _convnext() -> Any:
    block = pytest.importorskip("torchvision.models.convnext").CNBlockConfig
    stages = [block(16, 32, 1), block(32, 64, 1), block(64, None, 1)]
    return _features("ConvNeXt", block_setting=stages)


def _densenet() -> Any:
    options = {"growth_rate": 8, "block_config": (2, 2, 2, 2), "num_init_features": 16}
    return _features("DenseNet", **options)


def _vit() -> Any:
    width = {"num_layers": 2, "num_heads": 4, "hidden_dim": 64, "mlp_dim": 128}
    return _torchvision("VisionTransformer", image_size=64, patch_size=16, **width)


def _mixer() -> Any:
    mixer = pytest.importorskip("timm.models.mlp_mixer").MlpMixer
    return mixer(num_classes=10, img_size=64, patch_size=16, num_blocks=2, embed_dim=32)


def _resizable_vit() -> Any:
    """Its position table is interpolated to the image."""
    return _timm("vit_tiny_patch16_224", img_size=64, depth=2, dynamic_img_size=True)


def _convmixer() -> Any:
    mixer = pytest.importorskip("timm.models.convmixer").ConvMixer
    return mixer(32, 2, kernel_size=5, patch_size=4, num_classes=0, global_pool="")


def _googlenet() -> Any:
    return _torchvision("googlenet", aux_logits=False, init_weights=False)


def _swin() -> Any:
    stages = {"depths": [2, 2], "num_heads": [2, 4], "window_size": [7, 7]}
    return _torchvision("SwinTransformer", patch_size=[4, 4], embed_dim=24, **stages)


_EXPORTED_BY_BOTH = ("convnext.features", "resnet10t", "timm convmixer")

ANY = Takes(1)
# Five halvings that round up meet five doublings, at the map of half the image's size or below.
HALVED = Takes(32, 32, also=(31,))
QUARTERED = Takes(32, 32, also=(29, 30, 31))
FOUR_TIMES = Takes(16, 16, also=(13, 14, 15))  # a sixteenth, enlarged four times, meets a quarter
POOL, MEAN, NORM = "GlobalAveragePool", "ReduceMean", "InstanceNormalization"

LOCAL = (  # no layer looks further than its window, so tiles can be exact
    Net("alexnet.features", lambda: _features("alexnet"), Takes(63), side=127, field=(195, 32)),
    Net("vgg11.features", _vgg, Takes(32), field=(150, 32)),
    Net("resnet18.trunk", lambda: _children("resnet18", "layer4"), ANY, field=(435, 32)),
    Net("squeezenet.features", lambda: _features("squeezenet1_1"), Takes(17), field=(207, 16)),
    Net("densenet.features", _densenet, Takes(29), field=(279, 32)),
    Net("shufflenet", lambda: _children("shufflenet_v2_x0_5", "conv5"), ANY, field=(527, 32)),
    Net("convnext.features", _convnext, Takes(16), field=(184, 16), dynamo=True),
    Net("timm lite0", lambda: _trunk("efficientnet_lite0"), ANY, field=(851, 32)),
    Net("timm regnetx", lambda: _trunk("regnetx_002"), ANY, field=(543, 32)),
    Net("timm repvgg", lambda: _trunk("repvgg_a0"), ANY, field=(535, 32)),
    Net("timm convmixer", _convmixer, Takes(4), field=(36, 4)),
    Net("smp Linknet", lambda: _smp("Linknet"), HALVED, field=(499, 1)),
    Net("smp Unet++", lambda: _smp("UnetPlusPlus"), HALVED, field=(563, 1)),
)
GLOBAL = (  # some layer shows every output every pixel
    Net("alexnet", _alexnet, Takes(223, 1, 254), side=224, breaker="Gemm", dynamo=True),
    Net("resnet10t", lambda: _timm("resnet10t"), ANY, breaker=MEAN, dynamo=True),
    Net("googlenet", _googlenet, Takes(15), breaker=POOL),
    Net("mobilenet_v3", lambda: _features("mobilenet_v3_small"), ANY, breaker=POOL),
    Net("efficientnet_b0", lambda: _torchvision("efficientnet_b0"), ANY, breaker=POOL),
    Net("lraspp", lambda: _segmenter("lraspp"), ANY, breaker=POOL),
    Net("deeplabv3", lambda: _segmenter("deeplabv3"), ANY, breaker=POOL),
    Net("vit", _vit, Takes(64, 1, 79), breaker="MatMul", dynamo=True, patch=16),
    Net("timm mobilenetv3", lambda: _trunk("mobilenetv3_small_050"), ANY, breaker=MEAN),
    Net("timm ghostnet", lambda: _timm("ghostnet_050"), ANY, breaker=MEAN),
    Net("timm convnext", lambda: _timm("convnext_atto"), Takes(32), breaker=POOL),
    Net("timm vit", _resizable_vit, Takes(16), breaker="MatMul", dynamo=True, patch=16),
    Net("timm mixer", _mixer, Takes(64, 1, 79), breaker="MatMul", patch=16),
    Net("timm poolformer", lambda: _timm("poolformer_s12"), Takes(3), breaker=NORM),
    Net("timm edgenext", lambda: _timm("edgenext_xx_small"), Takes(32), breaker="MatMul"),
    Net("smp FPN", lambda: _smp("FPN"), QUARTERED, breaker=NORM),
    Net("smp MAnet", lambda: _smp("MAnet"), HALVED, breaker="MatMul"),
    Net("smp DeepLabV3+", lambda: _smp("DeepLabV3Plus"), FOUR_TIMES, breaker=POOL),
    Net("smp PAN", lambda: _smp("PAN"), Takes(113), side=128, breaker=POOL),
)
SIZED = (  # interpolation to the size of another map: its factor changes with the image
    Net("fcn", _fcn, ANY, breaker="Resize"),
    Net("timm tf_lite0", lambda: _trunk("tf_efficientnet_lite0"), ANY, breaker="Pad"),
    Net("smp Unet", lambda: _smp("Unet"), ANY, breaker="Resize"),
    Net("smp Segformer", lambda: _smp("Segformer"), Takes(4), breaker="Resize"),
)
BAKED = (  # the exporter wrote the traced size into the file; a breaker where the file shows it
    Net("swin", _swin, Takes(4), side=56),
    Net("smp PSPNet", lambda: _smp("PSPNet"), Takes(25), breaker="GatherND", dynamo=True),
)
BY_BOTH = tuple(net for net in (*LOCAL, *GLOBAL, *SIZED) if net.name in _EXPORTED_BY_BOTH)
