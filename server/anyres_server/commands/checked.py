"""What `anyres serve --check` shows: every version of every model, and what becomes of it."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table

from anyres_server.model import Model
from anyres_server.repository.entries import Entry, Models


def table(models: Models) -> Table:
    """One row a version."""
    shown = Table("model", "version", "served", "width", "height", "task", "runs with", box=None)
    for entry in entries(models):
        shown.add_row(entry.name, entry.version, *_row(entry))
    return shown


def reasons(models: Models) -> Iterator[str]:
    """A line for each version that cannot be served."""
    for entry in entries(models):
        if not isinstance(entry, Model):
            yield f"{entry.name} {entry.version}: {entry.reason}"


def verdict(models: Models) -> str:
    """All of it in a line."""
    all_of_them = list(entries(models))
    works = sum(isinstance(entry, Model) for entry in all_of_them)
    if not all_of_them:
        return "there are no models: expected <name>.onnx or <name>/<version>/model.onnx"
    return f"{works} of {len(all_of_them)} can be served"


def all_work(models: Models) -> bool:
    """Whether there is something to serve, and nothing that cannot be."""
    return bool(models) and all(isinstance(entry, Model) for entry in entries(models))


def entries(models: Models) -> Iterator[Entry]:
    """Every version of every model."""
    for versions in models.values():
        yield from versions.values()


def _row(entry: Entry) -> tuple[str, ...]:
    if not isinstance(entry, Model):
        return ("[red]no[/]",)
    sizes = entry.card.sizes
    agreement = "" if entry.agreement is None else f", {entry.agreement:.2%} as the CPU"
    sides = sizes.width.expected(), sizes.height.expected()
    return "[green]yes[/]", *sides, entry.card.task, f"{entry.execution}{agreement}"
