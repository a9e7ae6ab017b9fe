"""Where on Earth an image lies: the tags of a GeoTIFF, read from one file and written to another.

A class map at its image's size has the image's own pixels, so it lies where the image lies and the
tags hold as they are. See OGC 19-008r4 (GeoTIFF 1.1), annex B; `GDAL_NODATA` is GDAL's.
"""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from os import PathLike
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from anyres_client.errors import InvalidRequest

Tags: TypeAlias = Mapping[int, Any]

# Tag -> its TIFF type: 2 text, 3 unsigned short, 12 double.
_TAGS = {
    33550: 12,  # ModelPixelScale
    33922: 12,  # ModelTiepoint
    34264: 12,  # ModelTransformation
    34735: 3,  # GeoKeyDirectory
    34736: 12,  # GeoDoubleParams
    34737: 2,  # GeoAsciiParams
}
_KEYS = 34735  # without it nobody knows what the numbers mean


def read(path: str | PathLike[str]) -> Tags:
    """The tags of a GeoTIFF.

    Raises:
        InvalidRequest: the file cannot be read, or says nothing about Earth.
    """
    try:
        with Image.open(path, formats=["TIFF"]) as image:
            found = dict(image.tag_v2)  # type: ignore[attr-defined]
    except (OSError, UnidentifiedImageError) as error:
        raise InvalidRequest(f"cannot read where {path} lies: it is no TIFF file") from error
    tags = {tag: found[tag] for tag in _TAGS if tag in found}
    if _KEYS not in tags:
        raise InvalidRequest(f"{path} does not say where it lies: it has no GeoTIFF tags")
    return tags


def tiff(classes: NDArray[Any], palette: NDArray[np.uint8], tags: Tags) -> bytes:
    """A class map (h, w) as a TIFF file, with a palette where that holds all classes."""
    wide = len(palette) > 256
    image = Image.fromarray(classes.astype(np.uint16 if wide else np.uint8))
    if not wide:
        image.putpalette(palette.tobytes())
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in tags.items():
        directory.tagtype[tag] = _TAGS[tag]
        directory[tag] = value
    file = BytesIO()
    image.save(file, "TIFF", tiffinfo=directory, compression="tiff_adobe_deflate")
    return file.getvalue()
