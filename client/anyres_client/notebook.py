"""A prediction as a notebook shows it: the class map, its legend, and how it came about."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from html import escape

from anyres_client.answers import Share, percent

SHOWN = 8  # classes; the rest are counted
STYLE = "display:inline-block;width:.9em;height:.9em;margin-right:.4em;border-radius:2px"


def figure(png: bytes, shares: Sequence[Share], colours: Sequence[Sequence[int]], said: str) -> str:
    """HTML of its own, without anything from elsewhere.

    Args:
        png: the class map.
        shares: of its classes, the most frequent first.
        colours: red, green and blue of every class.
        said: one line about the prediction.
    """
    image = f'<img src="data:image/png;base64,{b64encode(png).decode()}" alt="class map">'
    rows = "".join(_row(share, colours[share.index]) for share in shares[:SHOWN])
    left = len(shares) - SHOWN
    more = f"<div>and {left} more</div>" if left > 0 else ""
    return (
        f'<figure style="margin:0">{image}'
        f'<figcaption style="font:90% sans-serif">{rows}{more}<div>{escape(said)}</div>'
        "</figcaption></figure>"
    )


def _row(share: Share, colour: Sequence[int]) -> str:
    swatch = f'<span style="{STYLE};background:rgb({",".join(map(str, colour))})"></span>'
    return f"<div>{swatch}{escape(share.name)} {percent(share.share)}</div>"
