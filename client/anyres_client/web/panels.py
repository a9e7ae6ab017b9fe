"""Route and cost of an answer, and a model's card with its classes: tables and a list, as HTML."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from anyres_client import palette
from anyres_client.answers import size_text
from anyres_client.show import card_rows
from anyres_client.web.asking import Answer
from anyres_proto.card import Card

UNFOLDED = 24  # classes that are listed without being asked for


def cost(answer: Answer) -> str:
    """Which way the picture went, and what was estimated beside what was measured."""
    return _panel(
        _table(_way(answer), heads=("Route",)),
        _table(_cost(answer), heads=("Cost", "estimated", "measured")),
    )


def report(card: Card) -> str:
    """What the model says about itself, as `anyres models NAME` does, and its classes."""
    return _panel(_table(card_rows(card).items(), heads=("Model",)), _classes(card))


def _classes(card: Card) -> str:
    """Their names in their colours, where the model knows any; many are folded away."""
    names = card.classes
    if not names:
        return ""
    colours = palette.class_colours(names, len(names)).tolist()
    entries = "".join(
        f"<li><i style='background:rgb({red},{green},{blue})'></i>{escape(entry.name)}</li>"
        for entry, (red, green, blue) in zip(names, colours, strict=True)
    )
    unfolded = " open" if len(names) <= UNFOLDED else ""
    count = f"{len(names):,} class{'' if len(names) == 1 else 'es'}"
    return f"<details{unfolded}><summary>{count}</summary><ul>{entries}</ul></details>"


def _way(answer: Answer) -> list[tuple[str, str]]:
    prediction = answer.prediction
    tiles = f" in {prediction.pieces} tiles" if prediction.route == "tiled" else ""
    down, right = prediction.padded
    return [
        ("image", size_text(prediction.image_size)),
        ("route", prediction.route + tiles),
        ("padded by", f"{right} columns, {down} rows" if down or right else "nothing"),
        ("grid", f"{size_text(prediction.grid_size)} cells"),
    ]


def _cost(answer: Answer) -> list[tuple[str, str, str]]:
    estimate, timing = answer.estimate, answer.prediction.timing
    return [
        ("work", f"{estimate.macs / 1e9:,.2f} GMACs", ""),
        ("activations", _mebibytes(estimate.activation_bytes), ""),
        ("memory held", _mebibytes(estimate.reserved_bytes), ""),
        ("compute", _duration(estimate.compute_s), _duration(timing.compute_s)),
        ("decode", "", _duration(timing.decode_s)),
        ("queue", "", _duration(timing.queue_s)),
        ("reduce", "", _duration(timing.reduce_s)),
        ("as seen here", "", _duration(answer.seconds)),
        ("sent", "", _kibibytes(answer.sent_bytes)),
    ]


def _mebibytes(count: int) -> str:
    if count >= 2**30:
        return f"{count / 2**30:,.2f} GiB"
    return f"{count / 2**20:,.1f} MiB" if count else ""


def _kibibytes(count: int) -> str:
    return f"{count / 2**10:,.0f} KiB" if count < 2**20 else _mebibytes(count)


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds >= 1:
        return f"{seconds:,.2f} s"
    return f"{seconds * 1000:,.0f} ms" if seconds >= 0.01 else f"{seconds * 1000:.1f} ms"


def _panel(*parts: str) -> str:
    return f'<section class="told">{"".join(parts)}</section>'


def _table(rows: Iterable[Sequence[str]], heads: Sequence[str]) -> str:
    """Under its title; figures have titles of their own."""
    title, *columns = (escape(each) for each in heads)
    kind, span = ("figures", 1) if columns else ("facts", 2)
    head = "".join(f"<th scope='col'>{each}</th>" for each in columns)
    body = "".join(_row(row) for row in rows if any(row[1:]))
    return (
        f'<table class="{kind}"><thead><tr><th colspan="{span}"><h2>{title}</h2></th>{head}</tr>'
        f"</thead><tbody>{body}</tbody></table>"
    )


def _row(row: Sequence[str]) -> str:
    first, *rest = (escape(each) for each in row)
    return f"<tr><th scope='row'>{first}</th>{''.join(f'<td>{each}</td>' for each in rest)}</tr>"
