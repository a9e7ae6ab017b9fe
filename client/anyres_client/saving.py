"""A prediction as a file; the suffix says how."""

from __future__ import annotations

import json
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from anyres_client.atomic import replacing
from anyres_client.errors import InvalidRequest

if TYPE_CHECKING:
    from anyres_client.picture import Picture
    from anyres_client.prediction import Prediction

PALETTE_SIZE = 256  # what a PNG's palette holds


def save(
    prediction: Prediction, path: str | PathLike[str], overlay_on: Picture | None = None
) -> None:
    """Write the prediction, or its overlay, to `path`."""
    target = Path(path)
    if overlay_on is not None:
        _save_overlay(prediction, target, overlay_on)
        return
    writer = WRITERS.get(target.suffix.lower())
    if writer is None:
        raise InvalidRequest(f"cannot save as {target.name}: the suffix is one of {_known()}")
    with replacing(target) as file:
        writer(prediction, file)


def class_map_image(prediction: Prediction) -> Image.Image:
    """The class map as an image: a palette of the classes' colours, or 16 bits of grey."""
    classes = prediction.classes
    if len(prediction.palette) > PALETTE_SIZE:
        return Image.fromarray(classes.astype(np.uint16))
    image = Image.fromarray(classes.astype(np.uint8))
    image.putpalette(prediction.palette.tobytes())
    return image


def summary(prediction: Prediction, shares: int | None = None) -> dict[str, Any]:
    """Everything but the arrays, ready for JSON."""
    timing = prediction.timing
    said: dict[str, Any] = {
        "model": prediction.model,
        "version": prediction.version,
        "image_size": list(prediction.image_size),
        "grid_size": list(prediction.grid_size),
        "route": prediction.route,
        "pieces": prediction.pieces,
        "padded": list(prediction.padded),
        "timing": {name: round(value, 6) for name, value in vars(timing).items()},
    }
    if "classes" in prediction.outputs:
        said["classes"] = [
            {"index": s.index, "name": s.name, "share": round(s.share, 6)}
            for s in prediction.shares(shares)
        ]
    return said


def _save_overlay(prediction: Prediction, target: Path, picture: Picture) -> None:
    kind = Image.registered_extensions().get(target.suffix.lower())
    if kind not in OVERLAY_KINDS:
        known = ", ".join(OVERLAY_KINDS)
        raise InvalidRequest(f"cannot save an overlay as {target.name}: it can be {known}")
    image = prediction.overlay(picture)
    with replacing(target) as file:
        image.save(file, kind, quality=92)


def _png(prediction: Prediction, file: IO[bytes]) -> None:
    class_map_image(prediction).save(file, "PNG")


def _npz(prediction: Prediction, file: IO[bytes]) -> None:
    arrays: dict[str, Any] = dict(prediction.outputs)
    np.savez_compressed(file, **arrays)


def _npy(prediction: Prediction, file: IO[bytes]) -> None:
    if len(prediction.outputs) != 1:
        held = ", ".join(prediction.outputs)
        raise InvalidRequest(f"an .npy holds one array, this prediction holds {held}: use .npz")
    np.save(file, next(iter(prediction.outputs.values())))


def _json(prediction: Prediction, file: IO[bytes]) -> None:
    file.write(json.dumps(summary(prediction), indent=2).encode() + b"\n")


def _known() -> str:
    return ", ".join(WRITERS)


OVERLAY_KINDS = ("PNG", "JPEG", "WEBP")
WRITERS: dict[str, Callable[[Prediction, IO[bytes]], None]] = {
    ".png": _png,
    ".npz": _npz,
    ".npy": _npy,
    ".json": _json,
}
