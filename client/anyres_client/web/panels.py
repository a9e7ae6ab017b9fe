"""Route and cost of an answer, and a model's card: tables of two or three columns, as HTML."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from anyres_client.answers import size_text
from anyres_client.show import card_rows
from anyres_client.web.asking import Answer
from anyres_proto.card import Card


def cost(answer: Answer) -> str:
    """Which way the picture went, and what was estimated beside what was measured."""
    return _panel("Route and cost", _table(_way(answer)), _table(_cost(answer), heads=_HEADS))


def report(card: Card) -> str:
    """What the model says about itself, as `anyres models NAME` does."""
    return _panel("Model", _table(card_rows(card).items()))


_HEADS = ("", "estimated", "measured")


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
        ("compute", _milliseconds(estimate.compute_s), _milliseconds(timing.compute_s)),
        ("decode", "", _milliseconds(timing.decode_s)),
        ("queue", "", _milliseconds(timing.queue_s)),
        ("reduce", "", _milliseconds(timing.reduce_s)),
        ("as seen here", "", _milliseconds(answer.seconds)),
        ("sent", "", _kibibytes(answer.sent_bytes)),
    ]


def _mebibytes(count: int) -> str:
    return f"{count / 2**20:,.1f} MiB" if count else ""


def _kibibytes(count: int) -> str:
    return f"{count / 2**10:,.0f} KiB" if count < 2**20 else _mebibytes(count)


def _milliseconds(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds * 1000:,.0f} ms" if seconds >= 0.01 else f"{seconds * 1000:.1f} ms"


def _panel(title: str, *tables: str) -> str:
    return f'<section class="told"><h2>{escape(title)}</h2>{"".join(tables)}</section>'


def _table(rows: Iterable[Sequence[str]], heads: Sequence[str] = ()) -> str:
    head = "".join(f"<th scope='col'>{escape(each)}</th>" for each in heads)
    body = "".join(_row(row) for row in rows if any(row[1:]))
    kind = "figures" if heads else "facts"
    return (
        f'<table class="{kind}">{f"<thead><tr>{head}</tr></thead>" if head else ""}{body}</table>'
    )


def _row(row: Sequence[str]) -> str:
    first, *rest = (escape(each) for each in row)
    return f"<tr><th scope='row'>{first}</th>{''.join(f'<td>{each}</td>' for each in rest)}</tr>"
