"""Tables without lines, as the terminal views draw them."""

from __future__ import annotations

from rich.table import Table


def grid() -> Table:
    """Columns alone."""
    return Table.grid(padding=(0, 2), pad_edge=False)


def table(*columns: str | tuple[str, str]) -> Table:
    """Headings without lines; numbers to the right, (name, "left") to the left."""
    rows = Table(box=None, padding=(0, 3, 0, 0), pad_edge=False, header_style="dim")
    for column in columns:
        name, justify = column if isinstance(column, tuple) else (column, "right")
        rows.add_column(name, justify="left" if justify == "left" else "right")
    return rows
