"""What other tools count of a single layer, against the tools themselves."""

from __future__ import annotations

from collections.abc import Callable

import pytest

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore"),  # the tools' own
    pytest.mark.usefixtures("torchvision"),  # ptflops imports it
]

from tests.analyzer.other_tools import TOOLS, as_tool, counted_by, exported, unlike, where  # noqa: E402
from torch import Tensor, nn  # noqa: E402

F = nn.functional


@pytest.fixture(scope="module")
def image() -> Tensor:
    noise: Tensor = torch.rand(1, 3, 32, 40)
    return noise


class Called(nn.Module):
    """A function in a module; ptflops patches what it calls by name."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.function(x)
        return result


AS_FUNCTION = {"ptflops": ["called as a function"]}
# Layers, and the alternatives that are so for them.
LAYERS: list[tuple[str, nn.Module, dict[str, list[str]]]] = [
    ("ReLU", nn.ReLU(), {}),
    ("F.relu", Called(lambda x: F.relu(x)), AS_FUNCTION),
    ("ReLU6", nn.ReLU6(), {}),
    ("clamp", Called(lambda x: torch.clamp(x, -1.0, 1.0)), {"ptflops": ["clamp or Hardtanh"]}),
    ("LeakyReLU", nn.LeakyReLU(), {}),
    ("F.leaky_relu", Called(lambda x: F.leaky_relu(x)), AS_FUNCTION),
    ("PReLU", nn.PReLU(4), {}),
    ("PReLU of one slope", nn.PReLU(), {"torchinfo": ["one slope for all"]}),
    ("ELU", nn.ELU(), {}),
    ("GELU", nn.GELU(), {}),
    ("SiLU", nn.SiLU(), {"ptflops": ["part of SiLU"]}),
    ("Sigmoid", nn.Sigmoid(), {}),
    ("Softmax", nn.Softmax(1), {}),
    ("Tanh", nn.Tanh(), {}),
    ("Hardswish", nn.Hardswish(), {}),
    ("MaxPool2d", nn.MaxPool2d(3, 2, 1), {}),
    ("F.max_pool2d", Called(lambda x: F.max_pool2d(x, 2)), AS_FUNCTION),
    ("AvgPool2d", nn.AvgPool2d(2), {}),
    (
        "AdaptiveAvgPool2d to several",
        nn.AdaptiveAvgPool2d((8, 10)),
        {"fvcore": ["AdaptiveAvgPool2d"], "thop": ["AdaptiveAvgPool2d"]},
    ),
    ("AdaptiveAvgPool2d", nn.AdaptiveAvgPool2d(1), {}),
    (
        "F.adaptive_avg_pool2d",
        Called(lambda x: F.adaptive_avg_pool2d(x, 1)),
        {"ptflops": ["called as a function"], "thop": ["called as a function"]},
    ),
    ("AdaptiveMaxPool2d", nn.AdaptiveMaxPool2d(1), {}),
    ("mean", Called(lambda x: x.mean((2, 3))), {}),
    ("nearest", nn.Upsample(scale_factor=2), {}),
    ("bilinear", nn.Upsample(scale_factor=2, mode="bilinear"), {}),
    ("bicubic", nn.Upsample(scale_factor=2, mode="bicubic"), {}),
    (
        "F.interpolate",
        Called(lambda x: F.interpolate(x, scale_factor=2)),
        {
            "ptflops": ["called as a function"],
            "thop": ["F.interpolate, which it does not see"],
        },
    ),
    ("BatchNorm2d", nn.BatchNorm2d(4), {}),
    (
        "InstanceNorm2d",
        nn.InstanceNorm2d(4),
        {"fvcore": ["without scale and shift"]},
    ),
    (
        "InstanceNorm2d with scale",
        nn.InstanceNorm2d(4, affine=True),
        {tool: ["with scale and shift"] for tool in ("ptflops", "torchinfo", "thop")},
    ),
    ("ConvTranspose2d", nn.ConvTranspose2d(4, 6, 3, 2, 1, groups=2), {}),
    ("Conv2d of groups", nn.Conv2d(4, 6, 3, groups=2, bias=False), {}),
    ("a + b", Called(lambda x: x + x), {}),
    ("torch.add", Called(lambda x: torch.add(x, x)), {"ptflops": ["torch.add"]}),
]


@pytest.mark.parametrize(
    ("layer", "chosen"), [entry[1:] for entry in LAYERS], ids=[entry[0] for entry in LAYERS]
)
def test_a_layer_is_counted_as_each_tool_counts_it(
    layer: nn.Module, chosen: dict[str, list[str]], image: Tensor
) -> None:
    module = unlike(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, stride=2), layer))
    analysis = exported(module, image)
    ours = {tool: as_tool(tool, analysis, image) for tool in TOOLS}
    theirs = {tool: counted_by(tool, module, image) for tool in TOOLS}
    plain = isinstance(layer, nn.InstanceNorm2d) and not layer.affine
    invented = 8 * plain  # the exporter's ones and zeros
    assert {
        tool: (where(counted, *chosen.get(tool, [])), counted.their_parameters - invented)
        for tool, counted in ours.items()
    } == theirs
