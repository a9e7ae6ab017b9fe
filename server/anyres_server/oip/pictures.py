"""Images of any size in the protocol: what is asked about each, and how its maps are told.

One image, or several of one tensor, are alike in size, so a kind of map is one tensor, (images,
...). Several pictures are not: then it is one tensor (1, ...) for each, `class_map.0`,
`class_map.1` and so on. A file or a list of classes has the same form for every picture: an
element, or a row.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from anyres_server.errors import InvalidRequest
from anyres_server.inference.canvas import Placed
from anyres_server.model import OutputKind, Plan, Prediction, Request, Size
from anyres_server.oip.request import Asked, Form, Images, one_image
from anyres_server.oip.response import Told, classes, numbers, strings
from anyres_server.oip.shown import quoted
from anyres_server.oip.wishes import Wish

FILES = (OutputKind.MASK_PNG,)


def picture_request(asked: Asked, images: Images, index: int) -> Request:
    """What is asked about one of the images."""
    image, how = one_image(asked, images, index), asked.how
    return Request(image, kinds(asked), how.top_k, how.threshold, how.threshold_class)


def kinds(asked: Asked) -> tuple[OutputKind, ...]:
    """The kinds of maps that are wanted, each once: `logits` may have two names."""
    found = (wish.source for wish in asked.wishes)
    return tuple(dict.fromkeys(kind for kind in found if isinstance(kind, OutputKind)))


def told_of(asked: Asked, predictions: Sequence[Prediction]) -> list[Told]:
    """Every output that was wished for, of all images.

    Raises:
        InvalidRequest: maps of several sizes are wanted in one piece of shared memory.
    """
    return [told for wish in asked.wishes for told in _told(asked, wish, predictions)]


def _told(asked: Asked, wish: Wish, predictions: Sequence[Prediction]) -> list[Told]:
    assert isinstance(wish.source, OutputKind)
    maps = [prediction.outputs[wish.source] for prediction in predictions]
    if wish.source in FILES:
        return [strings(wish, [each.tobytes() for each in maps], (len(maps),))]
    if wish.classes:
        return [classes(wish, [each[None] for each in maps], asked.model)]
    if asked.form is not Form.FILES or len(maps) == 1:
        return [numbers(wish, np.stack(maps))]
    if wish.window:
        raise InvalidRequest(
            f"output {quoted(wish.name)} of {len(maps)} pictures is {len(maps)} tensors; "
            f"shared memory takes one: send one picture a request, or ask for mask_png"
        )
    return [numbers(wish, each[None], f"{wish.name}.{index}") for index, each in enumerate(maps)]


def about(predictions: Sequence[Prediction]) -> dict[str, bool | int | str]:
    """How each image was answered, in their order, as parameters of the answer."""
    plans = [prediction.plan for prediction in predictions]
    return {
        "image_sizes": ",".join(_words(plan.image_size) for plan in plans),
        "grid_sizes": ",".join(_words(plan.grid_size) for plan in plans),
        "routes": ",".join(plan.route.value for plan in plans),
        "pieces": ",".join(str(plan.pieces) for plan in plans),
    }


def tile_of(plan: Plan, piece: Placed, number: int) -> dict[str, bool | int | str]:
    """Where the cells of a tile belong on the grid, as parameters of its answer."""
    return {
        "image_sizes": _words(plan.image_size),
        "grid_sizes": _words(plan.grid_size),
        "tile": number,
        "tiles": plan.pieces,
        "tile_left": piece.columns.start,
        "tile_top": piece.rows.start,
        "tile_width": piece.size[1],
        "tile_height": piece.size[0],
    }


def check_tiles(asked: Asked) -> None:
    """Refuse what is not told tile by tile."""
    if asked.images != 1:
        raise InvalidRequest(f"tiles are of one image a request; got {asked.images}")
    for wish in asked.wishes:
        if wish.window or wish.classes or not isinstance(wish.source, OutputKind):
            raise InvalidRequest(
                f"output {quoted(wish.name)} is not told tile by tile in this way; "
                f"ask for class_map or another kind of map, in messages"
            )


def _words(size: Size) -> str:
    return f"{size[1]}x{size[0]}"
