"""What other tools count of a network, against the tools themselves on the module it came from."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

import pytest
from packaging.version import Version

from anyres_analyzer.cost.conventions import CONVENTIONS
from anyres_analyzer.cost.reconcile import Reconciliation

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore"),  # the tools' own
    pytest.mark.usefixtures("torchvision"),  # ptflops imports it
]

from tests.analyzer.other_tools import TOOLS, as_tool, counted_by, exported, unlike, where  # noqa: E402
from torch import Tensor, nn  # noqa: E402


@pytest.fixture(params=TOOLS)
def tool(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_table_is_of_the_release_that_it_is_checked_against() -> None:
    for name, convention in CONVENTIONS.items():
        try:
            installed = Version(version(name))
        except PackageNotFoundError:
            assert name == "thop"  # it needs distutils, which newer Pythons have not
        else:
            assert installed == Version(convention.version)


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        self.middle = nn.Sequential(
            nn.Conv2d(4, 8, 3, padding=1, stride=2, bias=False), nn.BatchNorm2d(8), nn.LeakyReLU()
        )
        self.up = nn.ConvTranspose2d(8, 4, 2, 2)
        self.head = nn.Conv2d(8, 2, 1)

    def forward(self, image: Tensor) -> Tensor:
        skip = self.down(image)
        joined = torch.cat([skip, self.up(self.middle(skip))], 1)
        twice = nn.functional.interpolate(joined, scale_factor=2, mode="bilinear")
        mask: Tensor = torch.sigmoid(self.head(twice))
        return mask


@pytest.fixture(scope="module")
def image() -> Tensor:
    noise: Tensor = torch.rand(1, 3, 32, 40)
    return noise


@pytest.fixture(scope="module")
def u_net() -> nn.Module:
    return unlike(UNet())


def resized(counted: Reconciliation) -> int:
    """Their operations where it is F.interpolate, the only alternative of a resize."""
    resizes = [item for item in counted.items if item.what == "linear resize" and item.otherwise]
    return counted.theirs + sum(item.otherwise[0].operations - item.operations for item in resizes)


def test_a_u_net_is_counted_as_the_tool_counts_it(
    tool: str, u_net: nn.Module, image: Tensor
) -> None:
    counted = as_tool(tool, exported(u_net, image), image)
    operations, parameters = counted_by(tool, u_net, image)
    assert resized(counted) == operations
    assert counted.their_parameters == parameters
    assert counted.our_parameters == parameters


def test_a_batch_norm_that_the_exporter_folded_is_what_is_missing(
    tool: str, u_net: nn.Module, image: Tensor
) -> None:
    counted = as_tool(tool, exported(u_net, image, folding=True), image)
    operations, parameters = counted_by(tool, u_net, image)
    biases = {folded.node: folded for folded in counted.folded}
    assert len(biases) == 4
    (middle,) = (biases[node] for node in biases if "middle" in node)
    assert resized(counted) + middle.operations == operations
    assert counted.their_parameters + middle.parameters == parameters


class Attention(nn.Module):
    """Linear layers at many positions and products of two maps."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 8, 4, 4)
        self.norm = nn.LayerNorm(8)
        self.query, self.key = nn.Linear(8, 8), nn.Linear(8, 8, bias=False)

    def forward(self, image: Tensor) -> Tensor:
        tokens = self.norm(self.embed(image).flatten(2).transpose(1, 2))
        query, key = self.query(tokens), self.key(tokens)
        scores = torch.matmul(query, key.transpose(1, 2)).softmax(-1)
        mixed: Tensor = torch.matmul(scores, tokens)
        return mixed


def test_a_linear_layer_on_many_positions_is_counted_as_the_tool_counts_it(
    tool: str, image: Tensor
) -> None:
    module = unlike(Attention())
    counted = as_tool(tool, exported(module, image), image)
    chosen = {
        "ptflops": ["called as a method of the tensor"],
        "thop": ["called as a function"],
    }
    operations = where(counted, *chosen.get(tool, []))
    assert (operations, counted.their_parameters) == counted_by(tool, module, image)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "folding"),
    [
        ("resnet50", True),
        ("resnet50", False),
        ("mobilenet_v2", True),
        pytest.param("vgg16", False, marks=pytest.mark.exhaustive),
    ],
)
def test_torchvisions_networks_are_counted_as_the_tools_count_them(
    name: str, folding: bool, torchvision: None
) -> None:
    models = pytest.importorskip("torchvision.models")
    module, image = unlike(models.get_model(name, weights=None)), torch.rand(1, 3, 224, 224)
    analysis = exported(module, image, folding=folding)
    for tool in TOOLS:
        counted = as_tool(tool, analysis, image)
        operations, parameters = counted_by(tool, module, image)
        chosen = POOLED.get((name, tool), [])
        folded = counted.folded if folding else ()
        assert where(counted, *chosen) + sum(f.operations for f in folded) == operations
        assert counted.their_parameters + sum(f.parameters for f in folded) == parameters


# VGG16 pools 7x7 to 7x7; MobileNetV2 calls a function.
POOLED = {
    ("vgg16", "fvcore"): ["AdaptiveAvgPool2d"],
    ("vgg16", "thop"): ["AdaptiveAvgPool2d"],
    ("mobilenet_v2", "ptflops"): ["called as a function"],
    ("mobilenet_v2", "thop"): ["called as a function"],
}
