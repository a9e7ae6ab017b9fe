"""One export from the command line: the target becomes a recipe, its proof a progress bar."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from anyres_exporter.card.precision_table import table
from anyres_exporter.card.stamp import card_text
from anyres_exporter.card.write import weights_beside
from anyres_exporter.errors import BadRecipe
from anyres_exporter.export import export
from anyres_exporter.precision.request import Asked
from anyres_exporter.precision.variant import faster
from anyres_exporter.proof.compare import Comparison
from anyres_exporter.sources.build import RANDOM, build
from anyres_exporter.sources.recipe import Recipe
from anyres_exporter.sources.target import of_target
from anyres_proto.card import Card


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
            batteries=recipe.batteries(),
            opset=recipe.opset,
            meanings=recipe.meanings,
            provenance=provenance,
            report=report,
        )
    console.print("\n".join(_summary(path, recipe, compared)))
    return path


def run_faster(model: Path, asked: Asked, out: Path) -> Path:
    """Make one faster variant of an exported model and print how it compares.

    Raises:
        ExportError: it does not answer as fp32 does, or cannot be made.
        AnalysisError: the model cannot be analysed.
    """
    console = Console(highlight=False, soft_wrap=True)
    with _progress(console) as progress:
        task = progress.add_task(f"{asked.kind} of {model.stem}", total=None)
        made = faster(model, asked, out, lambda words: progress.update(task, description=words))
    console.print(f"{made.path}  {_megabytes(made.path)}")
    console.print(Padding(table(made.precision), (0, 0, 0, 2)))
    return made.path


def _summary(path: Path, recipe: Recipe, compared: list[Comparison]) -> Iterator[str]:
    worst = max(compared, key=lambda comparison: comparison.max_rel_error)
    yield (
        f"{path}  {_megabytes(path)}, proven at {_sizes(len(compared))}, "
        f"worst error {worst.max_rel_error:.1e} of the largest value "
        f"(at {worst.width}x{worst.height})"
    )
    card = Card.model_validate_json(card_text(path) or "")
    names = ", ".join(output.name for output in card.outputs)
    first = card.tiling.breakers[0] if card.tiling.breakers else "the whole image is one tile"
    tiles = "tiles are exact" if card.tiling.exact else f"no exact tiles: {first}"
    yield (
        f"  width {card.sizes.width.expected()}, height {card.sizes.height.expected()}; "
        f"outputs {names}; {tiles}"
    )
    if card.provenance.get("weights") == RANDOM:
        yield f"  its weights are random: {recipe.factory} was given none (--weights)"


def _made(folder: Path) -> None:
    """The folder to write to, before anything takes time."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadRecipe(f"cannot write to {folder}: {error.strerror or error}") from error


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _megabytes(path: Path) -> str:
    """Of the file, and of the weights that lie beside it."""
    files = (path, *weights_beside(path))
    return f"{sum(file.stat().st_size for file in files) / 1e6:.1f} MB"


def _sizes(count: int) -> str:
    return f"{count} size{'s' * (count > 1)}"
