"""One export from the command line: the target becomes a recipe, its proof a progress bar."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from anyres_exporter.errors import BadRecipe
from anyres_exporter.export import export
from anyres_exporter.proof.compare import Comparison
from anyres_exporter.sources.recipe import Recipe, build, parse, read


@dataclass(frozen=True)
class Options:
    """The command's options; those after `assets` describe a factory and not a recipe."""

    out: Path
    assets: Path | None
    weights: Path | None
    size: str
    name: str | None
    fixed: bool
    any_size: str | None


def run(target: str, options: Options) -> Path:
    """Export one target and print what was proven.

    Raises:
        ExportError: it cannot be built, exported or proven.
    """
    recipe = _recipe(target, options)
    _made(options.out)
    model, provenance = build(recipe, options.assets)
    compared: list[Comparison] = []
    console = Console()
    with _progress(console) as progress:
        task = progress.add_task(f"proving {recipe.name}", total=None)

        def report(comparison: Comparison) -> None:
            compared.append(comparison)
            progress.update(task, completed=len(compared))

        path = export(
            model,
            recipe.describe(),
            options.out,
            sizes=recipe.sizes(),
            provenance=provenance,
            report=report,
        )
    worst = max(compared, key=lambda comparison: comparison.max_rel_error)
    console.print(
        f"{path}  {path.stat().st_size / 1e6:.1f} MB, proven at {len(compared)} sizes, "
        f"worst error {worst.max_rel_error:.1e} of the largest value "
        f"(at {worst.width}x{worst.height})",
        highlight=False,
        soft_wrap=True,
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


def _recipe(target: str, options: Options) -> Recipe:
    if ":" not in target:
        return read(Path(target))
    height, width = _height_width(options.size)
    weights = {"file": options.weights.absolute()} if options.weights else None
    return parse(
        {
            "name": options.name or target.rpartition(":")[2].lower(),
            "factory": target,
            "weights": weights,
            "size": (height, width),
            "dynamic": not options.fixed,
            "any_size": options.any_size,
        },
        target,
    )


def _height_width(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if match is None:
        raise BadRecipe(f"--size '{text}' is no size; write WIDTHxHEIGHT, as in 451x300")
    return int(match[2]), int(match[1])
