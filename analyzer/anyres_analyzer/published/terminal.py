"""A verdict for a terminal of 100 columns: what is expected, what was found, and who says so."""

from __future__ import annotations

from itertools import groupby

from rich.console import Console
from rich.table import Table
from rich.text import Text

from anyres_analyzer.published.figure import Outcome, Value, Verdict

COLUMNS = 100
_MARKS = {True: Text("✓", "green"), False: Text("✗", "bold red")}


def show(verdict: Verdict, console: Console) -> None:
    """Print it."""
    console.print(_table(verdict.figures), width=min(COLUMNS, console.width))
    differ = sum(not outcome.agrees for outcome in verdict.figures)
    figures = f"{len(verdict.figures)} figures"
    if differ:
        console.print(Text(f"\n{differ} of {figures} are not as expected.", "bold red"))
    else:
        console.print(Text(f"\nAll {figures} are as expected.", "bold green"))


def _table(outcomes: tuple[Outcome, ...]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("expected", justify="right", no_wrap=True)
    table.add_column("found", justify="right", min_width=17)  # the longest number is whole
    table.add_column("source", style="dim")
    for network, figures in groupby(outcomes, key=lambda outcome: outcome.network):
        table.add_row("", Text(network, "bold cyan"))
        for outcome in figures:
            found = Text(_words(outcome.found), "" if outcome.agrees else "bold red")
            row = outcome.quantity, _words(outcome.expected), found, outcome.source
            table.add_row(_MARKS[outcome.agrees], *row)
    return table


def _words(value: Value) -> str:
    """138,357,544 or 212/32/90, as it stands where it is words."""
    match value:
        case int():
            return f"{value:,}"
        case tuple():
            return "/".join(f"{part:,}" for part in value)
        case _:
            return str(value)
