"""`anyres prove`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from anyres_exporter.commands import values


def prove(
    model: Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="An ONNX file, anybody's.")],
    against: Annotated[
        str,
        typer.Option(
            metavar="TARGET",
            help="What it is to be: package.module:factory, file.py:factory, timm:NAME, "
            "torchvision:NAME, smp:ARCHITECTURE/ENCODER, RECIPE.toml, or another MODEL.onnx.",
        ),
    ],
    arg: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="An argument of the factory; can be repeated."),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Its weights: .safetensors or a state dict.")
    ] = None,
    weights_key: Annotated[
        str | None, typer.Option(help="The checkpoint's entry that holds them, where several do.")
    ] = None,
    assets: Annotated[
        Path | None, typer.Option(help="Folder with weights that lie beside no recipe.")
    ] = None,
    sizes: Annotated[
        str | None,
        typer.Option(
            metavar="WxH,...", help="Sizes to compare.", show_default="all that could show an error"
        ),
    ] = None,
    stamp: Annotated[
        bool, typer.Option("--stamp", help="Write what was proven into the file's card.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Prove that an ONNX file is the PyTorch model that it is said to be, at every size it takes.

    ONNX Runtime is compared with PyTorch eager at every residue of the graph's alignment, the
    minimum, odd, oblong and extreme shapes, in batches of one and three. An axis that the file
    leaves open and that is not, or a graph that is wrong at one size, ends with exit code 1 and the
    node that is to blame.

    Example: anyres prove unet.onnx --against my_nets:unet --weights unet.safetensors
    """
    from anyres_analyzer.errors import AnalysisError
    from anyres_exporter.commands.verdict import printed, run
    from anyres_exporter.errors import ExportError

    if sizes and stamp:
        raise typer.BadParameter("--stamp is for a whole proof; leave --sizes out")
    said: dict[str, Any] = {}
    if arg:
        said["arguments"] = values.arguments("--arg", arg)
    if weights is not None:
        said["weights"] = {"file": weights.absolute(), "key": weights_key}
    asked = (
        tuple(values.height_width("--sizes", size) for size in sizes.split(",")) if sizes else ()
    )
    try:
        verdict = run(model, against, said, assets=assets, sizes=asked, stamp=stamp)
    except (ExportError, AnalysisError) as error:
        raise typer.BadParameter(str(error)) from error
    printed(verdict, model, against, as_json=as_json, stamped=stamp)
    if not verdict.proven:
        raise typer.Exit(1)
