"""What of a prediction a screen can show, whatever its size: a photo, a map of classes, colours.

The browser needs no other request after this: it colours the map, fades it, and reads from it what
is under the pointer. A picture larger than a screen is sent as one of the screen's size; each of
its pixels shows the cell that is nearest to it, so that no class is invented between two.

The map is a PNG of the shown size; of each pixel, red + 256 x green is the class, and blue the
confidence, 0..255. The heat of one class, where there is one, is a grey PNG.
"""

from __future__ import annotations

from base64 import b64encode
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anyres_client import grid, overlay
from anyres_client.answers import Size
from anyres_client.errors import NotRequested
from anyres_client.prediction import Prediction

LONGEST = 1600  # pixels of the longer side: a large screen's
QUALITY = 85


def shown(prediction: Prediction, photo: Image.Image) -> dict[str, Any]:
    """Everything that the viewer draws, ready for JSON.

    Args:
        prediction: with `classes`; `confidence`, and what a heat is drawn from, where there are.
        photo: upright, in RGB, at the image's own size.
    """
    small = photo.copy()
    small.thumbnail((LONGEST, LONGEST))
    size = (small.height, small.width)
    colours = prediction.palette.tolist()
    return {
        "photo": _data("jpeg", small),
        "map": _data("png", Image.fromarray(class_map(prediction, size))),
        "sure": "confidence" in prediction.outputs,
        "heat": _heat(prediction, size),
        "size": [small.width, small.height],
        "image": [photo.width, photo.height],
        "classes": [
            {"index": s.index, "name": s.name, "share": s.share, "colour": colours[s.index]}
            for s in prediction.shares()
        ],
    }


def class_map(prediction: Prediction, size: Size) -> NDArray[np.uint8]:
    """Class and confidence of every pixel of a smaller picture of the image, (h, w, 3)."""
    classes = _sampled(prediction.classes, prediction, size)
    confidence = prediction.outputs.get("confidence")
    blue = (
        np.full(size, 255, np.uint8)
        if confidence is None
        else np.rint(_sampled(confidence, prediction, size) * 255).astype(np.uint8)
    )
    low, high = (classes & 255).astype(np.uint8), (classes >> 8).astype(np.uint8)
    return np.stack([low, high, blue], axis=-1)


def _heat(prediction: Prediction, size: Size) -> dict[str, Any] | None:
    """How probable the likeliest class is, between 0 and its own peak; None for a segmentation."""
    if overlay.shows_classes(prediction.card.task):
        return None
    try:
        index = prediction.likeliest()
        cells = prediction.heat(index)
    except NotRequested:  # the graph keeps no scores
        return None
    peak = overlay.peak(cells)
    grey = np.rint(_between(cells / peak, prediction, size) * 255).astype(np.uint8)
    return {
        "index": index,
        "name": prediction.class_names[index],
        "peak": peak,
        "map": _data("png", Image.fromarray(grey)),
    }


def _sampled(cells: NDArray[Any], prediction: Prediction, size: Size) -> NDArray[Any]:
    return grid.nearest(cells, prediction.card.output, prediction.image_size, shown=size)


def _between(cells: NDArray[np.float32], prediction: Prediction, size: Size) -> NDArray[np.float32]:
    return grid.bilinear(cells, prediction.card.output, prediction.image_size, shown=size)


def _data(kind: str, image: Image.Image) -> str:
    file = BytesIO()
    image.save(file, kind, **({"quality": QUALITY} if kind == "jpeg" else {}))
    return f"data:image/{kind};base64,{b64encode(file.getvalue()).decode()}"
