"""`anyres export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="RECIPE.toml|MODULE:FACTORY...",
            help="Recipes, or importable factories of a torch.nn.Module.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write <name>.onnx to.")] = Path("models"),
    assets: Annotated[
        Path | None, typer.Option(help="Folder with weights that lie beside no recipe.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Weights for a factory: .safetensors or a state dict.")
    ] = None,
    size: Annotated[
        str, typer.Option(metavar="WxH", help="The size a factory's model is traced at.")
    ] = "224x224",
    name: Annotated[str | None, typer.Option(help="What to call a factory's model.")] = None,
    fixed: Annotated[
        bool, typer.Option("--fixed", help="Pin H and W to --size; needed for FC heads.")
    ] = False,
    any_size: Annotated[
        str | None,
        typer.Option(metavar="edge|constant", help="Pad to the step and crop, in the graph."),
    ] = None,
) -> None:
    """Export PyTorch models to ONNX files whose sizes have been proven.

    Every axis that is left open is proven: ONNX Runtime against PyTorch, at sizes that the export
    never saw. An axis that fails is refused, and the node that fixes it is named.

    Example: anyres export models/climate/recipe.toml --out out/models
    """
    from anyres_exporter.commands.run import Options, run
    from anyres_exporter.errors import ExportError

    options = Options(out, assets, weights, size, name, fixed, any_size)
    try:
        for target in targets:
            run(target, options)
    except ExportError as error:
        raise typer.BadParameter(str(error)) from error
