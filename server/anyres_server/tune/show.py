"""What was measured, for a terminal and for machines."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from anyres_server.tune.recommend import Verdict
from anyres_server.tune.tune import Tuned
from anyres_server.tune.written import settings


def show(tuned: Tuned, console: Console) -> None:
    """Print every candidate beside the first, and what is recommended."""
    table = Table("provider", "precision", box=None, pad_edge=False)
    for column in ("threads", "images/s", "MP/s", "x", "alone ms", "agrees"):
        table.add_column(column, justify="right")
    for verdict in tuned.found:
        best = verdict is tuned.recommendation.best
        table.add_row(*_row(tuned, verdict), style="bold green" if best else None)
    console.print(table)
    for candidate, why in tuned.left_out:
        console.print(f"{candidate}: {why}", markup=False)
    batch = tuned.recommendation.max_batch_size
    words = f"batches of up to {batch} images pay" if batch > 1 else "no batch pays"
    console.print(f"\n{tuned.recommendation.best.measured.candidate}; {words}", markup=False)


def encoded(tuned: Tuned) -> dict[str, Any]:
    """Every figure."""
    return {
        "model": tuned.name,
        "megapixels": tuned.megapixels,
        "candidates": [_encoded(verdict) for verdict in tuned.found],
        "left_out": {str(candidate): why for candidate, why in tuned.left_out},
        "recommended": settings(tuned.recommendation),
    }


def _row(tuned: Tuned, verdict: Verdict) -> tuple[str, ...]:
    measured = verdict.measured
    execution, agreement = measured.candidate.execution, measured.model.agreement
    return (
        execution.provider,
        execution.precision,
        str(measured.candidate.threads),
        f"{verdict.images_s:.2f}",
        f"{verdict.images_s * tuned.megapixels:.2f}",
        f"{verdict.images_s / tuned.found[0].images_s:.2f}",
        f"{verdict.alone_ms:.1f}",
        "" if agreement is None else f"{agreement:.2%}",
    )


def _encoded(verdict: Verdict) -> dict[str, Any]:
    measured = verdict.measured
    return {
        "provider": measured.candidate.execution.provider,
        "precision": measured.candidate.execution.precision,
        "threads": measured.candidate.threads,
        "images_per_s": verdict.images_s,
        "alone_ms": verdict.alone_ms,
        "agreement": measured.model.agreement,
        "sizes": {
            f"{width}x{height}": {
                "alone_ms": 1e3 * measured.alone_s[height, width],
                "abreast_ms": 1e3 * measured.abreast_s[height, width],
                "together_ms": {
                    str(batch): 1e3 * seconds
                    for (size, batch), seconds in measured.together_s.items()
                    if size == (height, width)
                },
            }
            for height, width in measured.alone_s
        },
    }
