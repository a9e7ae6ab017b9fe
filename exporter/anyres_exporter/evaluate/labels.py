"""What the labels of one picture say: a class for each pixel, or numbers.

    classes   PNG, TIFF or BMP of one channel (a palette's indices, grey levels, black and white),
              or .npy of integers (h, w): the number of a class, or one that is to be ignored
    numbers   PNG or TIFF of one channel, 8 to 32 bits, or .npy (h, w), of several channels
              (channels, h, w); what is no finite number is not compared

A label is as large as its picture stands upright. Nothing is guessed: colours are no class numbers,
and a JPEG's are not what was written.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

from anyres_exporter.evaluate.errors import BadLabel

SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".npy")
_FORMATS = ("PNG", "TIFF", "BMP")
# What Pillow multiplies grey levels of 2 and 4 bits by, so that they reach 255.
_STRETCHED = {"L;2": 85, "L;4": 17}
_SHOWN = 5  # numbers that are named


def class_map(
    path: Path, size: tuple[int, int], classes: int, ignored: frozenset[int]
) -> NDArray[np.int32]:
    """The class of each pixel (h, w); -1 where it is to be ignored.

    Args:
        path: the label.
        size: of its picture, upright: (height, width).
        classes: how many the model knows.
        ignored: numbers that are no class.

    Raises:
        BadLabel: it cannot be read, is of another size, or has a number that is neither.
    """
    stored = _read(path)
    if stored.ndim != 2 or stored.dtype.kind not in "iub":
        raise BadLabel(
            f"{path}: expected one whole number a pixel, got {stored.dtype} {stored.shape}"
        )
    _check_size(path, stored.shape[:2], size)
    found = stored.astype(np.int64)
    known = (found >= 0) & (found < classes)
    skipped = np.isin(found, list(ignored))
    if not (known | skipped).all():
        raise _unknown(path, found[~known & ~skipped], classes, ignored)
    return np.where(skipped, -1, found).astype(np.int32)


def numbers(
    path: Path, size: tuple[int, int], channels: int, scale: float, ignored: frozenset[int]
) -> NDArray[np.float64]:
    """The numbers of each pixel, (channels, h, w); NaN where they are not to be compared.

    Args:
        path: the label.
        size: of its picture, upright: (height, width).
        channels: that the model predicts.
        scale: what the file's numbers are multiplied by.
        ignored: numbers in the file that mean that nothing is known.

    Raises:
        BadLabel: it cannot be read, or is of another shape.
    """
    stored = _read(path)
    stored = stored[np.newaxis] if stored.ndim == 2 else stored
    if stored.ndim != 3 or len(stored) != channels or stored.dtype.kind not in "iufb":
        wanted = "(h, w)" if channels == 1 else f"({channels}, h, w)"
        raise BadLabel(f"{path}: expected numbers {wanted}, got {stored.dtype} {stored.shape}")
    _check_size(path, stored.shape[1:], size)
    skipped = np.isin(stored, list(ignored)) | ~np.isfinite(stored)
    return np.where(skipped, np.nan, stored.astype(np.float64) * scale)


def _read(path: Path) -> NDArray[Any]:
    try:
        if path.suffix.lower() == ".npy":
            array: NDArray[Any] = np.load(path, allow_pickle=False)
            return array
        with Image.open(path, formats=_FORMATS) as opened:
            return _levels(path, opened)
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError) as error:
        raise BadLabel(f"{path} is no label that can be read: {error}") from error


def _levels(path: Path, opened: Image.Image) -> NDArray[Any]:
    """The numbers in a picture of one channel, as they were written."""
    if len(opened.getbands()) != 1:
        raise BadLabel(
            f"{path} is a picture of {opened.mode} colours; a label has one number a pixel "
            "(a palette's index, or a grey level)"
        )
    assert isinstance(opened, ImageFile.ImageFile), "it was opened from a file"
    how = opened.tile[0].args if opened.tile else ""
    stretched = _STRETCHED.get(how, 1) if isinstance(how, str) else 1
    levels = np.asarray(opened)
    return levels // stretched if stretched > 1 else levels


def _check_size(path: Path, found: tuple[int, ...], picture: tuple[int, int]) -> None:
    if found == picture:
        return
    turned = " (turned on its side)" if found == picture[::-1] else ""
    raise BadLabel(
        f"{path} is {found[1]}x{found[0]}; its picture is {picture[1]}x{picture[0]}{turned}"
    )


def _unknown(
    path: Path, strange: NDArray[np.int64], classes: int, ignored: frozenset[int]
) -> BadLabel:
    found, often = np.unique(strange, return_counts=True)
    shown = ", ".join(map(str, found[:_SHOWN])) + ", ..." * (len(found) > _SHOWN)
    but = f" and ignores {', '.join(map(str, sorted(ignored)))}" if ignored else ""
    return BadLabel(
        f"{path} has class {shown} in {int(often.sum()):,} pixels; "
        f"the model knows 0 to {classes - 1}{but} (--ignore N leaves out a number)"
    )
