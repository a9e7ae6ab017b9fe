"""A comparison for a terminal of 100 columns: the first model left, the second right."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from anyres_analyzer.report.comparison import Comparison, Crops, Patchwise, Side
from anyres_analyzer.report.facts import Axis, AxisField, Cost, Output, Report
from anyres_analyzer.report.terminal import VERDICTS

COLUMNS = 100
_LABEL = 16
_INDENT = (0, 0, 0, 2)
_REFUSED = Text("not taken", "red")

Row = tuple[RenderableType, ...]  # a label, A, B


def show(comparison: Comparison, console: Console) -> None:
    """Print it."""
    width = min(COLUMNS, console.width)
    sides = comparison.first, comparison.second
    console.print(Padding(_columns(_titles(*sides)), _INDENT), width=width)
    for heading, body in (
        ("Which sizes they take", _columns(_sizes(*sides))),
        ("What one output pixel sees", _columns(_fields(*sides))),
        ("What their parameters are for", _parameters(*sides)),
        ("What they give and cost at each size", _costs(comparison)),
        ("The same grid by crops", _patchwise(comparison.patchwise)),
    ):
        console.print()
        console.print(Text(heading, "bold"), width=width)
        console.print(Padding(body, _INDENT), width=width)


def _titles(first: Side, second: Side) -> Iterator[Row]:
    yield "", _title("A", first.report), _title("B", second.report)


def _title(letter: str, report: Report) -> Text:
    output = report.outputs[0]
    gives = "a map" if output.dense else "one answer for the whole image"
    return Text.assemble(
        (f"{letter}  ", "bold"),
        (report.model, "bold cyan"),
        (f"\n{report.input.channels} channels in, {output.channels} out: {gives}", "dim"),
    )


def _sizes(first: Side, second: Side) -> Iterator[Row]:
    """A row for each axis, or one for both where both models say the same of both."""
    sides = first, second
    widths = [_axis(side.width, side.report.width) for side in sides]
    heights = [_axis(side.height, side.report.height) for side in sides]
    if widths == heights:
        yield "width and height", *widths
    else:
        yield "width", *widths
        yield "height", *heights


def _axis(words: str, axis: Axis) -> Text:
    verdict = (axis.verdict, f"bold {VERDICTS[axis.verdict]}")
    node = (f"{axis.node}: ", "cyan") if axis.node else ""
    return Text.assemble(verdict, f"  {words}\n", node, (axis.reason, "dim"))


_FIELD: tuple[tuple[str, Callable[[AxisField], str]], ...] = (
    ("receptive field", lambda axis: f"{axis.size} px"),
    ("stride", lambda axis: f"{axis.stride} px"),
    ("padding", lambda axis: f"{axis.padding} px"),
)


def _fields(first: Side, second: Side) -> Iterator[Row]:
    outputs = first.report.outputs[0], second.report.outputs[0]
    if any(output.field_width for output in outputs):
        for label, words in _FIELD:
            yield label, *(_field(output, words) for output in outputs)
    else:
        yield "", *(_field(output, str) for output in outputs)


def _field(output: Output, words: Callable[[AxisField], str]) -> Text:
    """One figure where both axes agree, else width x height."""
    width, height = output.field_width, output.field_height
    if width is None or height is None:
        return Text("the whole image, or unknown", "dim")
    both = dict.fromkeys((words(width), words(height)))
    return Text(" x ".join(both))


def _parameters(first: Side, second: Side) -> RenderableType:
    table = _table(("kind", "left"), "A parameters", "share", "B parameters", "share")
    reports = first.report, second.report
    held = [{kind.kind: kind.parameters for kind in report.kinds} for report in reports]
    for kind in dict.fromkeys((*held[0], *held[1])):
        counts = (by_kind.get(kind, 0) for by_kind in held)
        row = (_count(count, report) for count, report in zip(counts, reports, strict=True))
        table.add_row(kind, *(cell for pair in row for cell in pair))
    table.add_section()
    table.add_row("total", f"{reports[0].parameters:,}", "", f"{reports[1].parameters:,}", "")
    return table


def _count(parameters: int, report: Report) -> tuple[str, str]:
    if not parameters:
        return "-", "-"
    return f"{parameters:,}", f"{parameters / report.parameters:.1%}"


def _costs(comparison: Comparison) -> RenderableType:
    table = _table("W x H", "A output", "MACs", "memory", "B output", "MACs", "memory", "B / A")
    costs = comparison.first.report.costs, comparison.second.report.costs
    for size, first, second in zip(comparison.sizes, *costs, strict=True):
        ratio = f"{second.macs / first.macs:.2f}" if first.macs and second.macs else "-"
        table.add_row(f"{size[0]} x {size[1]}", *_cost(first), *_cost(second), ratio)
    return table


def _cost(cost: Cost) -> tuple[RenderableType, str, str]:
    if cost.macs is None or cost.activation_bytes is None or cost.output_shape is None:
        return _REFUSED, "-", "-"
    answers = cost.answers
    gives = f"{answers[0]} x {answers[1]}" if answers else "1 answer"
    return gives, _scaled(cost.macs), f"{cost.activation_bytes / 2**20:,.1f} MiB"


def _patchwise(patchwise: Patchwise) -> RenderableType:
    if patchwise.does_not_apply is not None:
        return Text(f"Does not apply: {patchwise.does_not_apply}.", "dim")
    table = _table("W x H", "grid", "crops", "their MACs", "MACs of one pass", "ratio")
    for at in patchwise.at:
        size, answers = f"{at.size[0]} x {at.size[1]}", f"{at.grid[0]} x {at.grid[1]}"
        ratio = "-" if at.ratio is None else Text(f"{at.ratio:.2f}", "bold")
        macs = _scaled(at.macs), _scaled(at.dense_macs)
        table.add_row(size, answers, f"{at.crops:,}", *macs, ratio)
    return Group(_how(patchwise, patchwise.at[0]), table)


def _how(patchwise: Patchwise, crops: Crops) -> Text:
    across, down = crops.every
    step = f"{across}" if across == down else f"{across} x {down}"
    return Text(
        f"{patchwise.by_crops} on crops of {crops.crop[0]} x {crops.crop[1]}, one every {step} px, "
        f"against one pass of {patchwise.in_one_pass}.",
        "dim",
    )


def _scaled(count: int) -> str:
    for unit, size in (("T", 10**12), ("G", 10**9), ("M", 10**6)):
        if count >= size:
            return f"{count / size:.2f} {unit}"
    return f"{count:,}"


def _columns(rows: Iterator[Row]) -> Table:
    """A label, then A and B with half of what is left each."""
    table = Table.grid(padding=(0, 2), pad_edge=False, expand=True)
    table.add_column(style="dim", width=_LABEL)
    table.add_column(ratio=1, overflow="fold")
    table.add_column(ratio=1, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def _table(*columns: str | tuple[str, str]) -> Table:
    """Headings without lines; numbers to the right."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for column in columns:
        name, justify = column if isinstance(column, tuple) else (column, "right")
        table.add_column(name, justify="left" if justify == "left" else "right", no_wrap=True)
    return table
