"""A variant beside the model it was made of, as a small table."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from anyres_proto.card import Precision

_NAMED = 8  # layers that are named; of more, how many


def table(precision: Precision) -> RenderableType:
    """How it compares with fp32: size, speed, agreement, errors; and what stayed in fp32."""
    width, height = precision.timed_at
    rows = Table(box=None, padding=(0, 3, 0, 0), pad_edge=False, header_style="dim")
    rows.add_column("")
    for heading in (
        "MB",
        f"speed at {width}x{height}",
        "agreement",
        "mean IU",
        "max error",
        "mean",
    ):
        rows.add_column(heading, justify="right")
    rows.add_row("fp32", _megabytes(precision.fp32_graph_bytes), "1.00 x", "", "", "", "")
    rows.add_row(
        Text(precision.kind, "bold"),
        _megabytes(precision.graph_bytes),
        f"{precision.speedup:.2f} x",
        f"{precision.agreement:.2%}",
        "" if precision.mean_iou is None else f"{precision.mean_iou:.4f}",
        f"{precision.max_abs_error:.2g}",
        f"{precision.mean_abs_error:.2g}",
    )
    return Group(rows, Text(_how(precision), "dim"), *_kept(precision))


def _how(precision: Precision) -> str:
    calibrated = (
        f"calibrated on {_pictures(precision.calibration)} ({precision.method}), "
        if precision.method
        else ""
    )
    return (
        f"{calibrated}compared on {_pictures(precision.pictures)} held out; "
        f"ONNX Runtime {precision.runtime}, {precision.threads} threads"
    )


def _kept(precision: Precision) -> list[Text]:
    if not precision.kept:
        return []
    more = len(precision.kept) - _NAMED
    named = ", ".join(precision.kept[:_NAMED]) + (f" and {more} more" if more > 0 else "")
    return [Text(f"kept in fp32, because they hurt most: {named}", "yellow")]


def _pictures(count: int) -> str:
    return f"{count} picture{'s' * (count != 1)}"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.2f}"
