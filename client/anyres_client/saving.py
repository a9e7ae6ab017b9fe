"""A prediction as a file; the suffix says how."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from os import PathLike
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anyres_client.atomic import replacing
from anyres_client.errors import InvalidRequest
from anyres_client.outputs import Outputs, requested

PALETTE_SIZE = 256  # what a PNG's palette holds


@dataclass(frozen=True, eq=False)
class Contents:
    """What there is to write."""

    outputs: Outputs
    palette: NDArray[np.uint8]  # (classes, 3)
    summary: Callable[[], Mapping[str, Any]]  # ready for JSON
    tiff: Callable[[], bytes]


def write(contents: Contents, path: str | PathLike[str]) -> None:
    """Write to `path`, at once or not at all."""
    target = Path(path)
    writer = _writer(target.suffix, target.name)
    with replacing(target) as file:
        writer(contents, file)


def encoded(contents: Contents, suffix: str) -> bytes:
    """What a file with this suffix would hold."""
    file = BytesIO()
    _writer(suffix, suffix)(contents, file)
    return file.getvalue()


def encoded_drawing(draw: Callable[[], Image.Image], suffix: str) -> bytes:
    """A drawing as a file with this suffix; nothing is drawn that cannot be written."""
    kind, file = _drawing_kind(suffix), BytesIO()
    draw().save(file, kind, quality=92)
    return file.getvalue()


def write_drawing(draw: Callable[[], Image.Image], path: str | PathLike[str]) -> None:
    """Draw and write to `path`, at once or not at all."""
    target = Path(path)
    contents = encoded_drawing(draw, target.suffix)
    with replacing(target) as file:
        file.write(contents)


def check_suffix(suffix: str, *, drawn: bool) -> None:
    """Refuse a suffix that nothing can be written with, before anything is predicted.

    Raises:
        InvalidRequest: it is none of those that there are.
    """
    if drawn:
        _drawing_kind(suffix)
    else:
        _writer(suffix, suffix)


def _drawing_kind(suffix: str) -> str:
    kind = Image.registered_extensions().get(suffix.lower())
    if kind not in DRAWING_KINDS:
        raise InvalidRequest(f"cannot save an overlay as {suffix}: it can be {_drawings()}")
    return kind


def png(classes: NDArray[Any], palette: NDArray[np.uint8]) -> bytes:
    """A class map with a palette of the classes' colours, or 16 bits of grey, as a PNG file."""
    if len(palette) > PALETTE_SIZE:
        image = Image.fromarray(classes.astype(np.uint16))
    else:
        image = Image.fromarray(classes.astype(np.uint8))
        image.putpalette(palette.tobytes())
    file = BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _png(contents: Contents, file: IO[bytes]) -> None:
    file.write(png(requested(contents.outputs, "classes", "classes"), contents.palette))


def _tiff(contents: Contents, file: IO[bytes]) -> None:
    file.write(contents.tiff())


def _npz(contents: Contents, file: IO[bytes]) -> None:
    arrays: dict[str, Any] = dict(contents.outputs)
    np.savez_compressed(file, **arrays)


def _npy(contents: Contents, file: IO[bytes]) -> None:
    if len(contents.outputs) != 1:
        held = ", ".join(contents.outputs)
        raise InvalidRequest(f"an .npy holds one array, this prediction holds {held}: use .npz")
    # Given a real file, numpy writes past Python's errors, and a full disk has no name.
    np.save(SimpleNamespace(write=file.write), next(iter(contents.outputs.values())))


def _json(contents: Contents, file: IO[bytes]) -> None:
    file.write(json.dumps(contents.summary(), indent=2).encode() + b"\n")


def _writer(suffix: str, name: str) -> Callable[[Contents, IO[bytes]], None]:
    writer = WRITERS.get(suffix.lower())
    if writer is None:
        raise InvalidRequest(f"cannot save as {name}: the suffix is one of {', '.join(WRITERS)}")
    return writer


def _drawings() -> str:
    return ", ".join(DRAWING_KINDS)


DRAWING_KINDS = ("PNG", "JPEG", "WEBP")
WRITERS: dict[str, Callable[[Contents, IO[bytes]], None]] = {
    ".png": _png,
    ".tif": _tiff,
    ".tiff": _tiff,
    ".npz": _npz,
    ".npy": _npy,
    ".json": _json,
}
