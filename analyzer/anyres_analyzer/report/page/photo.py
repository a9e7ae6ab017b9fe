"""The picture behind the receptive field: a photograph of the reader's choice, or none.

Nothing is resized to fit the model: pixels of the drawing are pixels of its input. A photograph of
a size that the model does not take is cut at its right and bottom edges to the largest one that it
takes; only the copy that the page shows is smaller than the original.
"""

from __future__ import annotations

import warnings
from base64 import b64encode
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from anyres_analyzer.report.facts import Size
from anyres_analyzer.sizes.contract import AxisContract, SizeContract

SHOWN_SIDE = 1280  # pixels, of the copy in the page
QUALITY = 82


class UnusablePhoto(Exception):
    """The file is no picture, or smaller than anything that the model takes."""


@dataclass(frozen=True)
class Photo:
    """A picture as a JPEG data URI; `size` is what the model is given, of `original` pixels."""

    name: str
    uri: str
    size: Size
    original: Size


def photo(path: Path, sizes: SizeContract) -> Photo:
    """Read a picture, cut to the largest size that the model takes.

    Raises:
        UnusablePhoto: it cannot be read, or is too small.
    """
    picture = _read(path)
    size = _at_most(sizes.width, picture.width), _at_most(sizes.height, picture.height)
    if None in size:
        smallest = f"{sizes.width.minimum}x{sizes.height.minimum}"
        raise UnusablePhoto(
            f"{path} is {picture.width}x{picture.height}; the smallest image that this model "
            f"takes is {smallest}"
        )
    width, height = (side or 0 for side in size)
    cropped = picture.crop((0, 0, width, height))
    return Photo(path.name, _uri(cropped), (width, height), picture.size)


def _read(path: Path) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                return ImageOps.exif_transpose(picture).convert("RGBA")
    except UnidentifiedImageError as error:
        raise UnusablePhoto(f"{path} is no picture that can be read") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnusablePhoto(f"{path}: {error}") from error
    except (OSError, SyntaxError) as error:  # pillow says so of broken PNG files
        raise UnusablePhoto(f"{path}: {getattr(error, 'strerror', None) or error}") from error


def _at_most(axis: AxisContract, pixels: int) -> int | None:
    """The largest admissible size that is no larger."""
    top = pixels if axis.maximum is None else min(pixels, axis.maximum)
    return next((side for side in range(top, axis.minimum - 1, -1) if axis.admits(side)), None)


def _uri(picture: Image.Image) -> str:
    shown = Image.new("RGB", picture.size, "white")
    shown.paste(picture, mask=picture)
    shown.thumbnail((SHOWN_SIDE, SHOWN_SIDE))
    encoded = BytesIO()
    shown.save(encoded, "JPEG", quality=QUALITY, optimize=True)
    return "data:image/jpeg;base64," + b64encode(encoded.getvalue()).decode()
