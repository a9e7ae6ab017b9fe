"""The page: every picture beside its prediction, in one folder that opens without a server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, select_autoescape
from PIL import Image

from demo.jobs import Row

WIDEST = 1800  # pixels: what a page shows of a huge picture


@dataclass(frozen=True)
class Shown:
    """A row with the files that show it."""

    row: Row
    photo: str
    overlay: str | None


def write(rows: list[Row], difference: float, folder: Path) -> Path:
    """Write the pictures and `index.html` into a folder; returns the page."""
    folder.mkdir(parents=True, exist_ok=True)
    shown = [_shown(row, folder) for row in rows]
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=select_autoescape(),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = folder / "index.html"
    html = environment.get_template("page.html").render(shown=shown, difference=difference)
    page.write_text(html, "utf-8")
    return page


def _shown(row: Row, folder: Path) -> Shown:
    name = f"{row.job.picture.stem}-{row.photo.width}x{row.photo.height}"
    photo = f"{name}.jpg"
    _fitting(row.photo).save(folder / photo, quality=90)
    if row.prediction is None or not row.prediction.card.output.dense:
        return Shown(row, photo, None)
    overlay = f"{name}-{row.job.model}.png"
    _fitting(row.prediction.overlay(row.photo)).save(folder / overlay)
    if row.prediction.card.task == "segmentation":
        row.prediction.save(folder / f"{name}-{row.job.model}-classes.png")
    return Shown(row, photo, overlay)


def _fitting(picture: Image.Image) -> Image.Image:
    if picture.width <= WIDEST:
        return picture
    height = round(picture.height * WIDEST / picture.width)
    return picture.resize((WIDEST, height), Image.Resampling.LANCZOS)
