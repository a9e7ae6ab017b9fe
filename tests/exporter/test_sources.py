"""Where a model comes from: people's own code, libraries by name, checkpoints as they were left.

The oracle for a library's model is the library itself.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from safetensors.torch import save_file  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from anyres_exporter.errors import BadRecipe  # noqa: E402
from anyres_exporter.sources.build import build  # noqa: E402
from anyres_exporter.sources.recipe import Recipe  # noqa: E402
from anyres_exporter.sources.target import of_target  # noqa: E402
from anyres_exporter.sources.weights import load_weights  # noqa: E402

CODE = """
import torch
from torch import nn
from layers_beside import channels

class Net(nn.Module):
    def __init__(self, classes=2):
        super().__init__()
        self.head = nn.Conv2d(channels, classes, 1)

    def forward(self, image):
        return self.head(image)

net = Net()

class Zoo:
    @staticmethod
    def small():
        return Net(5)
"""


def needs(package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(find_spec(package) is None, reason=f"{package} is not installed")


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of somebody's own in the current folder, and one beside it that it imports."""
    (tmp_path / "own_net.py").write_text(CODE)
    (tmp_path / "layers_beside.py").write_text("channels = 3\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "own_net.py"


def made(target: str, **said: Any) -> nn.Module:
    model, _ = build(of_target(target, said))
    assert isinstance(model, nn.Module)
    return model


@pytest.mark.parametrize(
    ("name", "classes"), [("own_net:Net", 2), ("own_net:net", 2), ("own_net:Zoo.small", 5)]
)
def test_a_class_a_module_and_a_function_in_the_current_folder_need_no_installing(
    code: Path, name: str, classes: int
) -> None:
    assert made(name)(torch.zeros(1, 3, 4, 4)).shape == (1, classes, 4, 4)


def test_a_file_is_found_from_anywhere_and_finds_its_neighbours(
    code: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    model = made(f"{code}:Net", arguments={"classes": 7})
    assert model(torch.zeros(1, 3, 4, 4)).shape[1] == 7


@pytest.mark.parametrize(
    ("target", "said", "complaint"),
    [
        ("own_net:Nope", {}, "module 'own_net' has no 'Nope'"),
        ("own_net:net", {"arguments": {"classes": 3}}, "is a module already; it takes no arg"),
        ("own_net:Net", {"arguments": {"width": 3}}, "unexpected keyword argument 'width'"),
        ("own_net:CODE", {}, "module 'own_net' has no 'CODE'"),
        ("gone.py:Net", {}, "cannot import 'gone.py'"),
        ("own_net", {}, "'own_net' is nothing to export; expected RECIPE.toml, MODEL.onnx"),
        ("gone.onnx", {}, "gone.onnx does not exist"),
    ],
)
def test_what_cannot_be_built_is_one_sentence(
    code: Path, target: str, said: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(BadRecipe, match=complaint) as refused:
        made(target, **said)
    assert "\n" not in str(refused.value)


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(2)

    def forward(self, image: Tensor) -> Tensor:
        y: Tensor = self.norm(self.conv(image))
        return y


WRAPPERS: dict[str, Callable[[dict[str, Tensor]], dict[str, Any]]] = {
    "as it is": lambda state: state,
    "in half precision": lambda state: {
        name: value.half() if value.is_floating_point() else value for name, value in state.items()
    },
    "beside the epoch": lambda state: {"epoch": 3, "model": state, "optimizer": {"state": {}}},
    "of a parallel model": lambda state: {f"module.{name}": v for name, v in state.items()},
    "of a compiled one in a trainer": lambda state: {
        "state_dict": {f"model._orig_mod.{name}": value for name, value in state.items()}
    },
    "from before batches were counted": lambda state: {
        name: value for name, value in state.items() if "num_batches" not in name
    },
}


@pytest.mark.parametrize("how", WRAPPERS)
def test_a_checkpoint_is_read_as_training_left_it(how: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    trained, fresh = Small(), Small()
    with torch.no_grad():
        trained.conv.weight.copy_(torch.tensor([0.5, -2.0]).reshape(2, 1, 1, 1))
        trained.norm.bias.fill_(3)
    torch.save(WRAPPERS[how](trained.state_dict()), tmp_path / "w.pt")
    load_weights(fresh, tmp_path / "w.pt")
    image = torch.randn(1, 1, 3, 3)
    torch.testing.assert_close(fresh.eval()(image), trained.eval()(image))


def test_of_several_sets_of_weights_one_is_named(tmp_path: Path) -> None:
    averaged = Small()
    with torch.no_grad():
        averaged.conv.weight.fill_(7)
    both = {"model": Small().state_dict(), "model_ema": averaged.state_dict()}
    torch.save(both, tmp_path / "w.pt")
    fresh = Small()
    with pytest.raises(BadRecipe, match=r"model, model_ema; name one \(--weights-key model\)"):
        load_weights(fresh, tmp_path / "w.pt")
    load_weights(fresh, tmp_path / "w.pt", key="model_ema")
    assert fresh.conv.weight.flatten().tolist() == [7, 7]
    with pytest.raises(BadRecipe, match="no weights at 'ema'; it has model, model_ema"):
        load_weights(fresh, tmp_path / "w.pt", key="ema")


def _without(name: str) -> dict[str, Tensor]:
    return {key: value for key, value in Small().state_dict().items() if key != name}


@pytest.mark.parametrize(
    ("state", "complaint"),
    [
        (_without("conv.weight"), "it lacks 'conv.weight'"),
        (_without("norm.running_mean"), "it lacks 'norm.running_mean'"),
        (Small().state_dict() | {"head.bias": torch.zeros(1)}, "it has besides 'head.bias'"),
        (
            Small().state_dict() | {"norm.bias": torch.zeros(3)},
            r"'norm.bias' is \(3,\) instead of \(2,\)",
        ),
    ],
)
def test_weights_that_do_not_fit_say_where(
    state: dict[str, Tensor], complaint: str, tmp_path: Path
) -> None:
    save_file(dict(state), tmp_path / "w.safetensors")
    model = Small()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(BadRecipe, match=complaint):
        load_weights(model, tmp_path / "w.safetensors")
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
def test_a_file_that_is_no_checkpoint_is_one_sentence(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"no weights")
    with pytest.raises(BadRecipe, match=r"is no (safetensors file|checkpoint)") as refused:
        load_weights(Small(), tmp_path / name)
    assert "\n" not in str(refused.value)


def test_our_own_networks_have_short_names_and_a_classifier_stays_as_it_is() -> None:
    unet, classifier = of_target("zoo:original_unet", {}), of_target("zoo:alexnet", {})
    assert (unet.task, unet.size, unet.input.channels, unet.dynamic) == (
        *("segmentation", (188, 188), 1),
        True,
    )
    assert (classifier.task, classifier.dynamic) == ("classification", False)
    arguments = {"width": 2, "depth": 1, "classes": 3}
    assert made("zoo:unet", arguments=arguments)(torch.zeros(1, 3, 8, 8)).shape == (1, 3, 8, 8)
    with pytest.raises(BadRecipe, match="there are alexnet, vgg11"):
        of_target("zoo:nope", {})


@needs("timm")
def test_timm_knows_the_size_the_pixels_and_the_classes_of_its_models() -> None:
    recipe = of_target("timm:tf_efficientnet_b0.in1k", {})
    assert (recipe.name, recipe.task) == ("tf_efficientnet_b0.in1k", "classification")
    assert recipe.size == (224, 224)
    assert recipe.input.mean == (0.485, 0.456, 0.406)
    assert len(recipe.describe().classes) == 1000
    assert recipe.describe().classes[0].name.startswith("tench")


@needs("timm")
def test_a_head_of_ones_own_has_none_of_the_librarys_classes() -> None:
    recipe = of_target("timm:resnet10t", {"arguments": {"num_classes": 3}})
    assert recipe.describe().classes == ()
    assert made("timm:resnet10t", arguments={"num_classes": 3})(
        torch.zeros(1, 3, 64, 64)
    ).shape == (1, 3)


@needs("torchvision")
def test_torchvision_makes_its_model_and_downloads_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a download was begun")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refuse)
    recipe = of_target("torchvision:lraspp_mobilenet_v3_large", {})
    assert (recipe.task, recipe.size) == ("segmentation", (520, 520))
    assert [each.name for each in recipe.describe().classes][:2] == ["__background__", "aeroplane"]
    model, provenance = build(recipe)
    assert isinstance(model, nn.Module)
    assert model(torch.zeros(1, 3, 64, 64))["out"].shape == (1, 21, 64, 64)
    assert provenance["weights"] == "random"


@needs("segmentation_models_pytorch")
def test_smp_takes_an_architecture_and_an_encoder() -> None:
    model = made("smp:Unet/mobilenet_v2", arguments={"classes": 5})
    assert type(model).__name__ == "Unet"
    assert model(torch.zeros(1, 3, 64, 64)).shape == (1, 5, 64, 64)


@needs("timm")
def test_what_is_said_comes_before_what_a_library_knows() -> None:
    recipe = of_target("timm:resnet10t", {"name": "mine", "input": {"mean": (0.5, 0.5, 0.5)}})
    assert (recipe.name, recipe.input.mean) == ("mine", (0.5, 0.5, 0.5))
    assert recipe.input.std == (0.229, 0.224, 0.225)


@pytest.mark.parametrize(
    ("target", "complaint"),
    [
        pytest.param("timm:resnet9999", "timm has no model 'resnet9999'", marks=needs("timm")),
        pytest.param(
            "torchvision:nope", "torchvision has no model 'nope'", marks=needs("torchvision")
        ),
        pytest.param(
            "smp:Nope/resnet18",
            "segmentation-models-pytorch has no model 'Nope/resnet18'",
            marks=needs("segmentation_models_pytorch"),
        ),
    ],
)
def test_a_model_that_a_library_has_not_is_one_sentence(target: str, complaint: str) -> None:
    with pytest.raises(BadRecipe, match=complaint) as refused:
        of_target(target, {})
    assert "\n" not in str(refused.value)


def test_a_recipe_gives_way_to_what_is_said_and_merges_tables(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(
        'name = "net"\nfactory = "anyres_exporter.zoo.unet:UNet"\n'
        "[arguments]\nwidth = 2\ndepth = 1\n[input]\nmean = [1, 2, 3]\n"
    )
    said = {"arguments": {"depth": 2}, "any_size": "edge", "input": {"std": (4, 5, 6)}}
    recipe: Recipe = of_target(str(path), said)
    assert recipe.arguments == {"width": 2, "depth": 2}
    assert (recipe.input.mean, recipe.input.std) == ((1, 2, 3), (4, 5, 6))
    assert recipe.any_size == "edge"
