"""The report for a terminal of 100 columns: what a person wants to know, in the order they ask."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from anyres_analyzer.analysis import Analysis
from anyres_analyzer.report.compose import report
from anyres_analyzer.report.facts import Report, Size

Value = TypeVar("Value")

COLUMNS = 100
_BAR = 24
_COLOURS = {"free": "green", "stepped": "yellow", "fixed": "red", "unknown": "magenta"}


def show(name: str, analysis: Analysis, sizes: Iterable[Size], console: Console) -> None:
    """Print the report."""
    facts = report(name, analysis, sizes)
    width = min(COLUMNS, console.width)
    console.print(_title(name, analysis), width=width)
    for heading, body in (
        ("Which sizes it takes", _sizes(analysis)),
        ("What one output pixel sees", _field(analysis)),
        ("Can an image be cut into tiles?", _tiling(analysis)),
        ("What its parameters are for", _parameters(facts)),
        ("What it costs", _costs(facts)),
    ):
        console.print()
        console.print(Text(heading, "bold"), width=width)
        console.print(Padding(body, (0, 0, 0, 2), expand=False), width=width)


def _title(name: str, analysis: Analysis) -> RenderableType:
    image, output = analysis.input, analysis.output
    dense = "a map" if output.dense else "one answer for the whole image"
    return Text.assemble(
        (name, "bold cyan"),
        (f"  {len(analysis.graph.nodes)} nodes, opset {analysis.graph.opset}\n", "dim"),
        (f"  '{image.name}' with {image.channels} channels in, ", "dim"),
        (f"'{output.name}' with {output.channels} out: {dense}", "dim"),
    )


def _sizes(analysis: Analysis) -> RenderableType:
    table = _grid()
    for axis, contract in _by_axis(analysis.sizes.height, analysis.sizes.width):
        verdict = Text(contract.verdict, f"bold {_COLOURS[contract.verdict]}")
        table.add_row(axis, verdict, contract.expected(), _why(contract.node, contract.reason))
    return table


def _field(analysis: Analysis) -> RenderableType:
    field = analysis.receptive_field
    if field is None:
        return Text("The whole image, or unknown: what stands against tiles says why.")
    table = _table(("", "left"), "receptive field", "stride", "reads from", "to")
    for axis, along in _by_axis(field.height, field.width):
        size, low, high = f"{along.size} px", str(along.low), str(along.high)
        table.add_row(axis, size, str(along.stride), low, high)
    return Group(table, Text("pixels, from stride x (row or column of the output) on", "dim"))


def _tiling(analysis: Analysis) -> RenderableType:
    rule = analysis.tiling
    if rule.height is None or rule.width is None:
        breakers = _grid()
        for breaker in rule.breakers:
            node, _, reason = breaker.partition(": ")
            breakers.add_row(_why(node, reason))
        return Group(Text("No. What stands against it:", "red"), breakers)
    table = _table(("", "left"), "starts on multiples of", "halo before", "halo after")
    for axis, along in _by_axis(rule.height, rule.width):
        before, after = f"{along.halo_before} px", f"{along.halo_after} px"
        table.add_row(axis, str(along.alignment), before, after)
    return Group(Text("Yes, tiles equal the whole image.", "green"), table)


def _by_axis(height: Value, width: Value) -> list[tuple[Text, Value]]:
    """A row for each axis, or one for both where they say the same."""
    if height == width:
        return [(Text("H, W", "bold"), height)]
    return [(Text("H", "bold"), height), (Text("W", "bold"), width)]


def _why(node: str | None, reason: str) -> Text:
    if node is None:
        return Text(reason, "dim")
    return Text.assemble((node, "cyan"), (f": {reason}", "dim"))


def _parameters(facts: Report) -> RenderableType:
    table = _table(("kind", "left"), "layers", "parameters", "share", ("", "left"))
    for kind in facts.kinds:
        share = kind.parameters / facts.parameters
        bar = Text("━" * max(1, round(_BAR * share)), "blue")
        table.add_row(kind.kind, str(kind.layers), f"{kind.parameters:,}", f"{share:.1%}", bar)
    table.add_section()
    layers = sum(kind.layers for kind in facts.kinds)
    table.add_row("total", str(layers), f"{facts.parameters:,}", "", "")
    return table


def _costs(facts: Report) -> RenderableType:
    table = _table("W x H", "output", "MACs", "peak activations", ("peaks at", "left"))
    for cost in facts.costs:
        size = f"{cost.size[0]} x {cost.size[1]}"
        if cost.macs is None or cost.activation_bytes is None or cost.output_shape is None:
            table.add_row(size, "-", "-", "-", Text("not taken, see the sizes above", "red"))
            continue
        shape = cost.output_shape
        grid = " x ".join(str(side) for side in reversed(shape[2:])) or f"{shape[-1]} values"
        peak = f"{cost.activation_bytes / 2**20:,.1f} MiB"
        table.add_row(size, grid, _scaled(cost.macs), peak, cost.peak_node)
    return table


def _scaled(count: int) -> str:
    for unit, size in (("T", 10**12), ("G", 10**9), ("M", 10**6)):
        if count >= size:
            return f"{count / size:.2f} {unit}"
    return f"{count:,}"


def _grid() -> Table:
    return Table.grid(padding=(0, 2), pad_edge=False)


def _table(*columns: str | tuple[str, str]) -> Table:
    """Headings without lines; numbers to the right."""
    table = Table(box=None, padding=(0, 3, 0, 0), pad_edge=False, header_style="dim")
    for column in columns:
        name, justify = column if isinstance(column, tuple) else (column, "right")
        table.add_column(name, justify="left" if justify == "left" else "right")
    return table
