"""`python -m demo --models out/models --assets out/assets --out out/demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from anyres_client import Client
from demo import jobs, page
from demo.serving import served

READY_WITHIN_S = 60
WIDTH = 134  # what the table needs; a narrower terminal wraps it rather than losing words


def main(
    models: Annotated[Path, typer.Option(help="Folder of the three exported models.")],
    assets: Annotated[Path, typer.Option(help="Folder that the pictures' packages lie in.")],
    out: Annotated[Path, typer.Option(help="Folder for the pictures and the page.")],
) -> None:
    """Serve the models, predict the pictures, write the page, print the table."""
    with served(models, out / "server.log") as address, Client(address) as client:
        client.wait_ready(READY_WITHIN_S)
        rows = list(jobs.run(client, assets))
        difference = jobs.heads_agree(client, assets)
    console = Console(width=max(Console().width, WIDTH), highlight=False, soft_wrap=True)
    console.print(_table(rows))
    for row in rows:
        if row.refusal:
            console.print(f"[red]{row.job.model} refused {row.job.picture.name}:[/] {row.refusal}")
    console.print(
        "the mean of the dense logits is the FC head's answer at 224x224: "
        f"the largest difference is {difference:.1e}"
    )
    console.print(f"open {page.write(rows, difference, out)}")


def _table(rows: list[jobs.Row]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("picture", "size", "model", "grid", "route", "s", "top classes"):
        table.add_column(heading, no_wrap=True)
    for row in rows:
        size = row.size + (", resized" if row.job.squeezed else "")
        answer = row.answer if row.prediction else "see below"
        name, seconds = row.job.picture.name, f"{row.seconds:.2f}"
        table.add_row(name, size, row.job.model, row.grid, row.route, seconds, answer)
    return table


if __name__ == "__main__":
    typer.run(main)
