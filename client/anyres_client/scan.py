"""`anyres predict --huge`: one scan into one file, with a bar that says how far it is."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from math import prod
from pathlib import Path
from time import perf_counter

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from anyres_client.answers import size_text
from anyres_client.client import Client


def predict_scan(
    client: Client, photo: Path, save: Path, model: str, output: str, *, as_json: bool
) -> None:
    """Predict, and print what was done: a line for people, or one of JSON.

    Raises:
        ClientError: see `anyres_client.errors`.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    began, console = perf_counter(), Console(stderr=True)
    hidden = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden) as bar:
        task = bar.add_task(photo.name, total=None)

        def told(there: int, cells: int) -> None:
            rate = there / (perf_counter() - began) / 1e6
            bar.update(
                task, completed=there, total=cells, description=f"{photo.name} {rate:.1f} Mcells/s"
            )

        plan = client.predict_huge(photo, save, model=model, output=output, told=told)
    seconds = perf_counter() - began
    if as_json:
        sys.stdout.write(
            json.dumps({**asdict(plan), "saved": str(save), "seconds": seconds}) + "\n"
        )
        return
    rate = prod(plan.image_size) / seconds / 1e6
    pieces = "1 piece" if plan.pieces == 1 else f"{plan.pieces} pieces"
    sys.stdout.write(
        f"{photo.name}: {size_text(plan.image_size)} pixels in {pieces}, {rate:.1f} MP/s; "
        f"{output} of {size_text(plan.grid_size)} cells in {save}\n"
    )
