"""One export from the command line: the target becomes a recipe, its proof a progress bar."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from anyres_exporter.errors import BadRecipe
from anyres_exporter.export import export
from anyres_exporter.proof.compare import Comparison
from anyres_exporter.sources.recipe import build, of_target


def run(target: str, said: Mapping[str, Any], out: Path, assets: Path | None) -> Path:
    """Export one target and print what was proven.

    Args:
        target: a recipe's file, a factory, a library's model, or a graph's file.
        said: fields of a recipe that come before what the target says.
        out: the folder to write to.
        assets: where weights are looked for that lie beside no recipe.

    Raises:
        ExportError: it cannot be built, exported or proven.
    """
    recipe = of_target(target, said)
    _made(out)
    model, provenance = build(recipe, assets)
    compared: list[Comparison] = []
    console = Console(highlight=False, soft_wrap=True)
    with _progress(console) as progress:
        task = progress.add_task(f"proving {recipe.name}", total=None)

        def report(comparison: Comparison) -> None:
            compared.append(comparison)
            progress.update(task, completed=len(compared))

        path = export(
            model,
            recipe.describe(),
            out,
            sizes=recipe.sizes(),
            opset=recipe.opset,
            provenance=provenance,
            report=report,
        )
    worst = max(compared, key=lambda comparison: comparison.max_rel_error)
    console.print(
        f"{path}  {path.stat().st_size / 1e6:.1f} MB, proven at {len(compared)} sizes, "
        f"worst error {worst.max_rel_error:.1e} of the largest value "
        f"(at {worst.width}x{worst.height})"
    )
    return path


def _made(folder: Path) -> None:
    """The folder to write to, before anything takes time."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadRecipe(f"cannot write to {folder}: {error.strerror or error}") from error


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
