"""Recipes: the same model everywhere, or one sentence that says what is wrong."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from safetensors.torch import save_file  # noqa: E402

from anyres_exporter.errors import BadRecipe  # noqa: E402
from anyres_exporter.sources.build import build  # noqa: E402
from anyres_exporter.sources.target import of_target, read  # noqa: E402

UNET = 'name = "net"\nfactory = "anyres_exporter.zoo.unet:UNet"\n'
SMALL = "[arguments]\nwidth = 2\ndepth = 1\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text)
    return path


def test_a_recipe_builds_its_model_with_its_weights(tmp_path: Path) -> None:
    model, _ = build(read(written(tmp_path, UNET + SMALL)))
    assert isinstance(model, torch.nn.Module)
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    digest = hashlib.sha256((tmp_path / "w.safetensors").read_bytes()).hexdigest()
    text = f'{UNET}{SMALL}[weights]\nfile = "w.safetensors"\nsha256 = "{digest}"\n'
    again, provenance = build(read(written(tmp_path, text)))
    assert isinstance(again, torch.nn.Module)
    assert provenance["weights_sha256"] == digest
    assert all(
        torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items()
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("name = ", "is not TOML"),
        ('name = "net"\n', "names a factory or a graph; one of them"),
        ('name = "net"\ngraph = "m.onnx"\n', "m.onnx does not exist"),
        (UNET + "colour = 3\n", "colour: Extra inputs"),
        ('name = "net"\nfactory = "nowhere:Net"\n', "cannot import 'nowhere'"),
        ('name = "net"\nfactory = "anyres_exporter.zoo.unet:Net"\n', "has no 'Net'"),
        ('name = "net"\nfactory = "just_a_name"\n', "write package.module:name or file.py:name"),
        ('name = "net"\nfactory = "builtins:dict"\n', "gave a dict, not a torch.nn.Module"),
        (UNET + '[weights]\nfile = "gone.safetensors"\n', "are not there; looked at"),
    ],
)
def test_what_is_wrong_with_a_recipe_is_one_sentence(
    text: str, complaint: str, tmp_path: Path
) -> None:
    with pytest.raises(BadRecipe, match=complaint) as refused:
        build(read(written(tmp_path, text)))
    assert "\n" not in str(refused.value)


def test_weights_of_another_hash_are_refused(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(1)}, tmp_path / "w.safetensors")
    text = f'{UNET}[weights]\nfile = "w.safetensors"\nsha256 = "{"0" * 64}"\n'
    with pytest.raises(BadRecipe, match="is not the file that recipe 'net' was written for"):
        build(read(written(tmp_path, text)))


def test_weights_that_do_not_fit_name_what_is_missing(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(BadRecipe, match="does not fit UNet: it lacks"):
        build(read(written(tmp_path, UNET + '[weights]\nfile = "w.safetensors"\n')))


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    torch.save({"model": torch.nn.Conv2d(1, 1, 1)}, tmp_path / "w.pth")
    with pytest.raises(BadRecipe, match="nothing else is unpickled"):
        build(read(written(tmp_path, UNET + '[weights]\nfile = "w.pth"\n')))


def test_a_factory_that_raises_is_named_with_its_words(tmp_path: Path) -> None:
    text = 'name = "net"\nfactory = "torch.nn:Linear"\n'
    with pytest.raises(BadRecipe, match=r"calling factory 'torch.nn:Linear' failed: TypeError"):
        build(read(written(tmp_path, text)))


def test_a_name_that_is_no_file_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRecipe, match="name: String should match"):
        read(written(tmp_path, UNET.replace('"net"', '"../net"')))


def test_a_recipe_says_what_outputs_mean_and_which_classes_are_things(tmp_path: Path) -> None:
    path = tmp_path / "cells.toml"
    path.write_text(
        'name = "cells"\nfactory = "net.py:Net"\nmeanings = { centre = "centres" }\n'
        '[[classes]]\nname = "sky"\n[[classes]]\nname = "cell"\nthing = true\n'
    )
    found = read(path)
    assert found.meanings == {"centre": "centres"}
    assert [each.thing for each in found.describe().classes] == [False, True]
    path.write_text(path.read_text().replace('"centres"', '"centers"'))
    with pytest.raises(BadRecipe, match=r"meanings\.centre: Input should be .*'centres'"):
        read(path)


@pytest.mark.parametrize(
    ("name", "arguments", "meanings"),
    [
        ("unet_objects", {}, {"centre": "centres", "offset": "offsets"}),
        ("resnet18", {}, {}),
        ("resnet18", {"values": 2}, {"values": "values"}),
    ],
)
def test_what_a_network_of_ours_says_beside_classes_is_known(
    name: str, arguments: dict[str, int], meanings: dict[str, str]
) -> None:
    assert of_target(f"zoo:{name}", {"name": name, "arguments": arguments}).meanings == meanings
