"""The report for a terminal of 100 columns: what a person wants to know, in the order they ask."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from anyres_analyzer.report.facts import Axis, AxisField, Output, Report, TileCheck
from anyres_analyzer.report.formula import in_words
from anyres_analyzer.report.numbers import mebibytes, scaled
from anyres_analyzer.report.tables import grid, table
from anyres_analyzer.report.weights_view import mixing, parameters

Value = TypeVar("Value")

COLUMNS = 100
VERDICTS = {
    "free": "green",
    "stepped": "yellow",
    "fixed": "red",
    "unsafe": "red",
    "unknown": "magenta",
}
_SHOWN = {"passes": "green", "fails": "yellow", "silently wrong": "red"}


def show(report: Report, console: Console) -> None:
    """Print the report."""
    width = min(COLUMNS, console.width)
    console.print(_title(report), width=width)
    for heading, body in _sections(report):
        console.print()
        console.print(Text(heading, "bold"), width=width)
        console.print(Padding(body, (0, 0, 0, 2), expand=False), width=width)


def _sections(report: Report) -> Iterator[tuple[str, RenderableType]]:
    if report.findings:
        yield "What to know first", _findings(report)
    yield "Which sizes it takes", _sizes(report)
    for output in report.outputs:
        of = f" of '{output.name}'" if len(report.outputs) > 1 else ""
        yield f"What one output pixel sees{of}", _field(output)
        checks = [check for check in report.tile_checks if check.output == output.name]
        yield f"Can an image be cut into tiles?{of}", _tiling(output, checks)
    yield "What its parameters are for", parameters(report)
    if report.mixing is not None:
        yield "What its 1x1 convolutions do to the channels", mixing(report.mixing)
    yield "What it costs", _costs(report)


def _title(report: Report) -> RenderableType:
    title = Text.assemble(
        (report.model, "bold cyan"),
        (f"  {report.nodes} nodes, opset {report.opset}\n", "dim"),
        (f"  '{report.input.name}' with {report.input.channels} channels in", "dim"),
    )
    for output in report.outputs:
        dense = "a map" if output.dense else "one answer for the whole image"
        title.append(f", '{output.name}' with {output.channels} out: {dense}", "dim")
    return title


def _findings(report: Report) -> RenderableType:
    rows = grid()
    for finding in report.findings:
        colour = "bold red" if finding.level == "error" else "yellow"
        rows.add_row(Text(finding.level, colour), Text(finding.message))
    return rows


def _sizes(report: Report) -> RenderableType:
    rows = grid()
    for axis, contract in _by_axis(report.height, report.width):
        verdict = Text(contract.verdict, f"bold {VERDICTS[contract.verdict]}")
        rows.add_row(axis, verdict, expected(contract), _why(contract.node, contract.reason))
    shown = grid()
    for witness in report.witnesses:
        size = f"{witness.size[0]} x {witness.size[1]}"
        confirmed = {None: "", True: "ONNX Runtime agrees", False: "ONNX Runtime DISAGREES"}
        mark = Text(confirmed[witness.confirmed], "red" if witness.confirmed is False else "green")
        kind = Text(witness.shows, _SHOWN[witness.shows])
        shown.add_row(size, kind, mark, Text(witness.why, "dim"))
    return Group(rows, Text(), shown)


def expected(axis: Axis) -> str:
    """The admissible sizes in words: "224", "8, 16, ...", "at least 1", "16 to 19"."""
    if axis.maximum is not None:
        until = f" to {axis.maximum}" * (axis.maximum > axis.minimum)
        return f"{axis.minimum}{until}" + f" by {axis.step}" * (axis.step > 1)
    if axis.step == 1:
        return f"at least {axis.minimum}"
    progressions = ((axis.minimum, axis.step), *axis.also)
    return " or ".join(f"{first}, {first + step}, ..." for first, step in progressions)


def _field(output: Output) -> RenderableType:
    if output.field_height is None or output.field_width is None:
        return Text("The whole image, or unknown: what stands against tiles says why.")
    rows = table(("", "left"), "receptive field", "stride", "padding", "centre", "reads from", "to")
    for axis, field in _by_axis(output.field_height, output.field_width):
        edges = str(field.low), str(field.high)
        rows.add_row(
            axis, _span(field), str(field.stride), str(field.padding), str(field.offset), *edges
        )
    return Group(
        rows, Text("pixels; the last three from stride x (row or column of the output) on", "dim")
    )


def _span(field: AxisField) -> str:
    """Its pixels; where phases differ, the least and the most."""
    sizes = {last - first + 1 for first, last in field.phases}
    if len(sizes) == 1:
        return f"{field.size} px"
    return f"{min(sizes)} to {max(sizes)} px in {len(field.phases)} phases"


def _tiling(output: Output, checks: list[TileCheck]) -> RenderableType:
    if output.tiling_height is None or output.tiling_width is None:
        rows = grid()
        for breaker in output.breakers:
            node, _, reason = breaker.partition(": ")
            rows.add_row(_why(node, reason))
        return Group(Text("No. What stands against it:", "red"), rows)
    rows = table(
        ("", "left"), "starts on multiples of", "halo before", "halo after", "shortest tile"
    )
    for axis, rule in _by_axis(output.tiling_height, output.tiling_width):
        lengths = rule.halo_before, rule.halo_after, rule.minimum_tile
        rows.add_row(axis, str(rule.alignment), *(f"{length} px" for length in lengths))
    yes = Text("Yes, tiles equal the whole image.", "green")
    return Group(yes, rows, *map(_checked, checks))


def _checked(check: TileCheck) -> Text:
    tried = f"ONNX Runtime, {check.size[0]}x{check.size[1]} in {check.tiles} tiles: "
    if check.worst_difference is None or check.bit_equal is None:
        return Text(f"{tried}{check.refused}", "red")
    return Text(
        f"{tried}off by {check.worst_difference:.1e} at most of values to "
        f"{check.largest_value:.3g}, {check.bit_equal:.2%} bit-equal",
        "dim",
    )


def _by_axis(height: Value, width: Value) -> list[tuple[Text, Value]]:
    """A row for each axis, or one for both where they say the same."""
    if height == width:
        return [(Text("H, W", "bold"), height)]
    return [(Text("H", "bold"), height), (Text("W", "bold"), width)]


def _why(node: str | None, reason: str) -> Text:
    if node is None:
        return Text(reason, "dim")
    return Text.assemble((node, "cyan"), (f": {reason}", "dim"))


def _costs(report: Report) -> RenderableType:
    rows = table("W x H", "output", "MACs", "activations", "in ORT", ("peaks at", "left"))
    for cost in report.costs:
        size = f"{cost.size[0]} x {cost.size[1]}"
        if cost.macs is None or cost.activation_bytes is None or cost.output_shape is None:
            refused = Text("not taken, see the sizes above", "red")
            rows.add_row(size, "-", "-", "-", "-", refused)
            continue
        shape = cost.output_shape
        cells = " x ".join(map(str, cost.answers or shape[:1:-1])) or f"{shape[-1]} values"
        bytes_at_peak = mebibytes(cost.activation_bytes), mebibytes(cost.runtime_bytes or 0)
        rows.add_row(size, cells, scaled(cost.macs), *bytes_at_peak, cost.peak_node)
    if report.formula is None:
        return rows
    return Group(rows, Text(), *in_words(report.formula))
