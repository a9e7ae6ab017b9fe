"""Files that hold several pictures: an answer about the first would look like one about all.

animated PNG, WebP        refused
a TIFF of several pages   refused; its smaller versions of one picture (reduced levels, masks,
                          thumbnails, as in pyramids and slides) are no pages
JPEG with more (MPO)      the photograph; the others are its preview, or another eye's
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from PIL.ImageFile import ImageFile

from anyres_server.errors import InvalidRequest

_ANIMATED = {"PNG", "WEBP"}
_SUBFILE = 254  # of a TIFF: what a page is for
_REDUCED, _MASK = 1, 4  # bits of it
_SMALLER = 2  # so many times fewer pixels than the first page: a thumbnail, whatever it says


def refuse_several(image: ImageFile) -> None:
    """Refuse a file of several pictures. Reads a TIFF's second directory, if it has one.

    Raises:
        InvalidRequest: it is one.
    """
    if image.format in _ANIMATED and (frames := getattr(image, "n_frames", 1)) > 1:
        raise InvalidRequest(f"the image is an animation of {frames} frames; {_ONE}")
    if image.format == "TIFF" and _has_pages(image):
        raise InvalidRequest(f"the image has several pages; {_ONE}")


_ONE = "expected one picture: send each as a file of its own"


def _has_pages(image: ImageFile) -> bool:
    """By its second page alone: to count them would be to follow whatever a file says."""
    first = image.width * image.height
    try:
        image.seek(1)
        tags = cast("Mapping[int, int]", image.tag_v2)  # type: ignore[attr-defined]
        kind, second = tags.get(_SUBFILE, 0), image.width * image.height
    except EOFError:
        return False
    finally:
        image.seek(0)
    return not kind & (_REDUCED | _MASK) and second * _SMALLER > first
