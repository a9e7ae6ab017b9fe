"""Why a tool's number is not ours, for a terminal of 100 columns: item by item, as a sum."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from anyres_analyzer.cost.reconcile import Folded, Item, Reconciliation
from anyres_analyzer.report.reconciled import At, Reconciled

COLUMNS = 100
_NAMED = 5  # uncounted nodes; of more there is the number


def show(facts: Reconciled, console: Console) -> None:
    """Print it; parameters once, as they are the same at every size."""
    width = min(COLUMNS, console.width)
    title = Text.assemble(
        (facts.model, "bold cyan"),
        f" as {facts.tool} {facts.version} counts it\n",
        (f"  It looks at {facts.looks_at}; its unit: {facts.unit}.\n", "dim"),
        (f"  Its parameters: {facts.parameters}.", "dim"),
    )
    console.print(title, width=width)
    for at in facts.at:
        _section(f"At {at.size[0]} x {at.size[1]}", _operations(facts.tool, at), console, width)
    counted = next((at.counted for at in facts.at if at.counted), None)
    if counted is not None:
        _section("Parameters", _parameters(facts.tool, counted), console, width)


def _section(heading: str, body: Table | Text, console: Console, width: int) -> None:
    console.print()
    console.print(Text(heading, "bold"), width=width)
    console.print(Padding(body, (0, 0, 0, 2)), width=width)


def _operations(tool: str, at: At) -> Table | Text:
    counted = at.counted
    if counted is None:
        return Text(f"not taken: {at.refused}", "red")
    table = _sum("anyres", counted.ours, "one per multiply-add", counted.items)
    table.add_row(tool, _bold(counted.theirs), _left_out(counted.uncounted))
    if counted.folded:
        _add_folded(table, counted.theirs, counted.folded)
    return table


def _parameters(tool: str, counted: Reconciliation) -> Table:
    ours = counted.our_parameters
    table = _sum("anyres", ours, "learned numbers of the graph", counted.parameter_items)
    table.add_row(tool, _bold(counted.their_parameters))
    if counted.folded:
        more = sum(folded.parameters for folded in counted.folded)
        norms = "those batch norms" if len(counted.folded) > 1 else "that batch norm"
        why = Text(f"with the scale and shift of {norms}", "dim")
        table.add_row("  or", f"{counted.their_parameters + more:,}", why)
    return table


def _sum(first: str, count: int, why: str, items: Iterable[Item]) -> Table:
    table = Table.grid(padding=(0, 2), pad_edge=False)
    table.add_column()
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    table.add_row(first, f"{count:,}", Text(why, "dim"))
    for item in items:
        table.add_row(_named(item), f"{item.operations:+,}", Text(item.why, "dim"))
        for other in item.otherwise:
            table.add_row(
                Text("  or", "dim"), Text(f"{other.operations:+,}", "dim"), Text(other.when, "dim")
            )
    return table


def _named(item: Item) -> str:
    return f"{item.what} ({len(item.nodes)})" if item.nodes else item.what


def _bold(count: int) -> Text:
    return Text(f"{count:,}", "bold")


def _left_out(nodes: tuple[str, ...]) -> Text:
    if not nodes:
        return Text("")
    named = ", ".join(nodes) if len(nodes) <= _NAMED else f"{len(nodes)} nodes"
    return Text(f"without what no rule is known for: {named}", "red")


def _add_folded(table: Table, theirs: int, folded: tuple[Folded, ...]) -> None:
    """Exporters fold batch norms into convolutions; the tool has seen the module before that."""
    more = sum(bias.operations for bias in folded)
    several = f"biases of {len(folded)} convolutions were once batch norms"
    norms = several if len(folded) > 1 else "bias of 1 convolution was once a batch norm"
    why = Text(f"if the {norms}", "dim")
    table.add_row("  or", f"{theirs + more:,}", why)
