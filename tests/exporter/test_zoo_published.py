"""Our networks against the papers' graphs, layer by layer the same weights: the same numbers.

The analyzer writes the published networks down as ONNX without torch, for its self-test. Their
weights, in the order in which they run, go into ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from anyres_analyzer.published import alexnet as published_alexnet
from anyres_analyzer.published import fcn as published_fcn
from anyres_analyzer.published import mobilenet_v2 as published_mobilenet
from anyres_analyzer.published import resnet50 as published_resnet
from anyres_analyzer.published import unet as published_unet
from anyres_analyzer.published import vgg16 as published_vgg
from anyres_analyzer.published.net import Net

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from tests.exporter.lively import as_they_run, spread  # noqa: E402
from torch import nn  # noqa: E402

from anyres_exporter.proof.compare import noise  # noqa: E402
from anyres_exporter.runtime import Runtime, first  # noqa: E402
from anyres_exporter.zoo.alexnet import AlexNet  # noqa: E402
from anyres_exporter.zoo.fcn import fcn_alexnet, fcn_vgg16  # noqa: E402
from anyres_exporter.zoo.mobilenet_v2 import MobileNetV2  # noqa: E402
from anyres_exporter.zoo.resnet import resnet50  # noqa: E402
from anyres_exporter.zoo.unet import UNet, original_unet  # noqa: E402
from anyres_exporter.zoo.vgg import vgg16  # noqa: E402


@dataclass(frozen=True)
class Pair:
    """Ours, the published, and sizes (h, w) that it takes."""

    ours: Callable[[], nn.Module]
    published: Callable[[], Net]
    sizes: tuple[tuple[int, int], ...]
    channels: int = 3


THIN: dict[str, Any] = {"classes": 5, "thinner": 16}
PIXELS = ((1, 1), (33, 70), (95, 64))
PAIRS = {
    "AlexNet": Pair(
        partial(AlexNet, **THIN), partial(published_alexnet.alexnet, **THIN), ((224, 224),)
    ),
    "VGG16": Pair(partial(vgg16, **THIN), partial(published_vgg.vgg16, **THIN), ((224, 224),)),
    "ResNet-50": Pair(
        partial(resnet50, **THIN),
        partial(published_resnet.resnet50, **THIN),
        ((224, 224), (65, 99)),
    ),
    "MobileNetV2": Pair(
        partial(MobileNetV2, classes=5, thinner=8),
        partial(published_mobilenet.mobilenet_v2, classes=5, thinner=8),
        ((224, 224), (65, 99)),
    ),
    "FCN-AlexNet": Pair(
        partial(fcn_alexnet, **THIN), partial(published_fcn.fcn_alexnet, **THIN), PIXELS
    ),
    **{
        f"FCN-{stride}s": Pair(
            partial(fcn_vgg16, stride=stride, **THIN),
            partial(published_fcn.fcn_vgg16, stride=stride, **THIN),
            PIXELS,
        )
        for stride in (32, 16, 8)
    },
    "U-Net": Pair(
        partial(original_unet, classes=3, width=2),
        partial(published_unet.unet, classes=3, width=2),
        ((188, 188), (220, 204)),
        channels=1,
    ),
    "U-Net, same-padded": Pair(
        partial(UNet, in_channels=3, classes=3, width=2, depth=4, norm=False),
        partial(published_unet.unet, channels=3, classes=3, width=2, same=True),
        ((16, 16), (64, 48)),
    ),
}


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_with_the_published_network_s_weights_it_gives_its_numbers(pair: Pair) -> None:
    graph = pair.published().model(weights=True)
    ours = pair.ours().eval()
    give(graph, ours, pair.channels, pair.sizes[0])
    runtime = Runtime(graph)
    for size in pair.sizes:
        image = noise(2, pair.channels, *size)
        image[1] = 0.3 * image[1] + 1  # dim, on a bright ground
        expected = first(runtime(image))
        with torch.inference_mode():
            answer = ours(torch.from_numpy(image))
        np.testing.assert_allclose(answer.numpy(), expected, atol=1e-5 * np.abs(expected).max())
    assert spread(answer) > 0.01, "any image would give these numbers"


def give(graph: onnx.ModelProto, model: nn.Module, channels: int, size: tuple[int, int]) -> None:
    """The weights of a graph to a model of as many layers."""
    weights: dict[str, dict[str, NDArray[np.float32]]] = {}
    for tensor in graph.graph.initializer:
        layer, dot, part = tensor.name.rpartition(".")
        if dot:
            weights.setdefault(layer, {})[part] = numpy_helper.to_array(tensor)
    layers = as_they_run(model, channels, size)
    for module, parts in zip(layers, weights.values(), strict=True):
        state = {NAMES.get(part, part): torch.tensor(array) for part, array in parts.items()}
        module.load_state_dict(state | COUNTER if "running_var" in state else state)


NAMES = {"scale": "weight", "mean": "running_mean", "variance": "running_var"}
COUNTER = {"num_batches_tracked": torch.tensor(0)}
