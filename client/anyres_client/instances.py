"""Single objects of a prediction, in pixels of its image."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from anyres_client import outlines
from anyres_client.outlines import Ring
from anyres_client.regions import Region, regions


@dataclass(frozen=True, eq=False)
class Instance:
    """One object.

    Args:
        id: from 1, the largest first.
        class_index: its class.
        class_name: the class's name.
        area: in pixels of the image.
        box: left, top, right and bottom in pixels; the latter two one behind the last.
        score: the mean confidence of its pixels, or what the model's own centres are worth; None
            where neither was asked for.
        region: where its pixels are.
    """

    id: int
    class_index: int
    class_name: str
    area: int
    box: tuple[int, int, int, int]
    score: float | None
    region: Region = field(repr=False)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Which pixels of the image belong to it, bool (height, width)."""
        return self.region.mask()

    @property
    def polygons(self) -> list[Ring]:
        """Rings of (x, y) along its pixels' edges, outer ones first; see `outlines`."""
        left, top, *_ = self.box
        return outlines.rings(self.region.crop(), left, top)

    @property
    def rle(self) -> dict[str, Any]:
        """COCO's compressed run lengths: {"size": [height, width], "counts": text}."""
        return outlines.coco_rle(self.mask)

    def coco(self, image_id: int = 0) -> dict[str, Any]:
        """An annotation in COCO's format, ready for JSON."""
        left, top, right, bottom = self.box
        said: dict[str, Any] = {
            "id": self.id,
            "image_id": image_id,
            "category_id": self.class_index,
            "segmentation": self.rle,
            "area": self.area,
            "bbox": [left, top, right - left, bottom - top],
            "iscrowd": 0,
        }
        return said if self.score is None else said | {"score": round(self.score, 6)}


Found: TypeAlias = tuple[Region, float | None]  # an object's cells, and its score


def connected(
    classes: NDArray[Any], wanted: Collection[int], confidence: NDArray[np.float32] | None
) -> list[Found]:
    """The connected regions of some classes.

    Args:
        classes: the class map, (height, width).
        wanted: the classes whose regions are objects.
        confidence: the probability of each pixel's class, (height, width), 0..1.
    """
    found = (region for region in regions(classes) if region.class_index in wanted)
    return [(each, None if confidence is None else each.mean(confidence)) for each in found]


def numbered(found: Iterable[Found], names: Sequence[str]) -> tuple[Instance, ...]:
    """Objects out of regions and their scores, the largest first.

    Args:
        found: each with its score.
        names: every class's name.
    """
    ordered = sorted(found, key=lambda each: each[0].area, reverse=True)
    return tuple(
        Instance(
            id=number,
            class_index=region.class_index,
            class_name=names[region.class_index],
            area=region.area,
            box=region.box,
            score=score,
            region=region,
        )
        for number, (region, score) in enumerate(ordered, start=1)
    )
