"""One proof from the command line: what is compared with what, and how the verdict is shown."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import onnx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text
from torch import nn

from anyres_analyzer import Analysis, analyze
from anyres_exporter.errors import BadRecipe
from anyres_exporter.proof.compare import Comparison
from anyres_exporter.proof.original import Original
from anyres_exporter.proof.proving import Verdict, prove
from anyres_exporter.proof.sizes import Size, sizes_of
from anyres_exporter.proof.stamping import stamped
from anyres_exporter.rewrite.any_size import AnySize
from anyres_exporter.rewrite.pad_rule_in import pad_rule_in
from anyres_exporter.sources.build import build
from anyres_exporter.sources.graph import read_graph
from anyres_exporter.sources.target import of_target


def run(
    model: Path,
    against: str,
    said: Mapping[str, Any],
    *,
    assets: Path | None,
    sizes: tuple[tuple[int, int], ...],
    stamp: bool,
) -> Verdict:
    """Prove a file against a target, and stamp it where that is asked for and it is proven.

    Args:
        model: the ONNX file.
        against: the target, as `anyres export` takes it.
        said: fields of a recipe that come before what the target says.
        assets: where weights are looked for that lie beside no recipe.
        sizes: (h, w) each; by default those of the graph.
        stamp: whether to write the proofs into the file's card.

    Raises:
        ExportError: something cannot be read, built or loaded, or the card cannot be written.
        AnalysisError: nothing can be said about the graph.
    """
    graph = read_graph(model)
    analysis = analyze(graph)
    _refuse_other_inputs(model, analysis)
    original, provenance = build(of_target(against, said), assets)
    asked: list[Size] | None = [(1, *size) for size in sizes] or None
    with _progress() as progress:
        task = progress.add_task(f"proving {model.name}", total=len(asked or sizes_of(analysis)))

        def report(comparison: Comparison) -> None:
            progress.advance(task)

        oracle = _oracle(original, graph)
        verdict = prove(graph, analysis, oracle, sizes=asked, report=report)
    if stamp and verdict.proven:
        stamped(model, _name(model), analysis, verdict, provenance)
    return verdict


def printed(verdict: Verdict, model: Path, against: str, *, as_json: bool, stamped: bool) -> None:
    """The verdict as a table, or as JSON."""
    if as_json:
        print(json.dumps(_as_json(verdict, model, against), indent=2))
        return
    console = Console(highlight=False)
    console.print(_table(verdict))
    for line in _by_axis(verdict):
        console.print(line, soft_wrap=True)
    for output, spread in verdict.faint.items():
        console.print(
            f"output '{output}' varies by {spread:.2%} of its size only, as of untrained weights: "
            "a small error would not show",
            soft_wrap=True,
        )
    if verdict.proven:
        written = "; its card says so" if stamped else ""
        sizes = len(verdict.comparisons)
        console.print(f"{model} is {against} at {sizes} sizes{written}", soft_wrap=True)
    else:
        blame = f" The node to blame: {verdict.culprit}" if verdict.culprit else ""
        console.print(f"{model} is not {against}.{blame}", soft_wrap=True)


def _by_axis(verdict: Verdict) -> Iterator[Text]:
    """A line for each axis; a reason is given once."""
    told: set[str] = set()
    for axis in verdict.axes:
        word = Text("proven", "green") if axis.proven else Text("not proven", "red")
        reason = f": {axis.reason}" if axis.reason and axis.reason not in told else ""
        told.add(axis.reason)
        yield Text.assemble(f"{axis.axis}  {axis.sizes}  ", word, reason)


def _oracle(original: nn.Module | onnx.ModelProto, graph: onnx.ModelProto) -> nn.Module:
    """The original in eval mode, inside the padding that the graph does by itself."""
    model = Original(original) if isinstance(original, onnx.ModelProto) else original
    rule = pad_rule_in(graph)
    return (model if rule is None else AnySize(model, rule)).eval()


def _refuse_other_inputs(model: Path, analysis: Analysis) -> None:
    found = (analysis.input.dtype, analysis.input.layout)
    if found != ("float32", "NCHW"):
        raise BadRecipe(
            f"{model} takes {' '.join(found)}; a PyTorch model takes float32 NCHW: prove the graph "
            "as it was before its input was rewritten"
        )


def _name(model: Path) -> str:
    """A file's name as a model's."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", model.stem).lstrip("_.-") or "model"


def _progress() -> Progress:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _table(verdict: Verdict) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("size")
    for title in ("batch", "difference", "relative", "argmax"):
        table.add_column(title, justify="right")
    table.add_column("")
    for each in verdict.comparisons:
        table.add_row(f"{each.width}x{each.height}", str(each.batch), *_numbers(each))
    return table


def _numbers(comparison: Comparison) -> tuple[str, str, str, Text]:
    share = comparison.argmax_agreement
    if comparison.failure:
        return "", "", "", Text("fails", "red")
    return (
        f"{comparison.max_abs_error:.1e}",
        f"{comparison.max_rel_error:.1e}",
        "" if share is None else f"{share:.2%}",
        Text("") if comparison.agrees else Text("differs", "red"),
    )


def _as_json(verdict: Verdict, model: Path, against: str) -> dict[str, Any]:
    return {
        "model": str(model),
        "against": against,
        "proven": verdict.proven,
        "culprit": verdict.culprit,
        "faint": verdict.faint,
        "axes": {
            axis.axis: {"proven": axis.proven, "sizes": axis.sizes, "reason": axis.reason}
            for axis in verdict.axes
        },
        "sizes": [
            {
                "width": each.width,
                "height": each.height,
                "batch": each.batch,
                "agrees": each.agrees,
                "max_abs_error": each.max_abs_error,
                "max_rel_error": each.max_rel_error,
                "argmax_agreement": each.argmax_agreement,
                "failure": each.failure,
            }
            for each in verdict.comparisons
        ],
    }
