"""`anyres export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from anyres_exporter.commands import values

_CODE, _IMAGE, _SAID = "Factories", "The image", "What the card says"
_GRAPH, _BATTERIES = "The graph", "Batteries in the graph"
_FASTER = "A faster variant"


def export(
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="TARGET...",
            help="RECIPE.toml, package.module:factory, file.py:factory, zoo:NAME, timm:NAME, "
            "torchvision:NAME, smp:ARCHITECTURE/ENCODER, or MODEL.onnx.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write <name>.onnx to.")] = Path("models"),
    assets: Annotated[
        Path | None, typer.Option(help="Folder with weights that lie beside no recipe.")
    ] = None,
    arg: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="An argument of the factory; can be repeated.",
            rich_help_panel=_CODE,
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(help="Its weights: .safetensors or a state dict.", rich_help_panel=_CODE),
    ] = None,
    weights_key: Annotated[
        str | None,
        typer.Option(
            help="The checkpoint's entry that holds them, where several do.", rich_help_panel=_CODE
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="WxH",
            help="The size it is traced at.",
            show_default="the library's, or 224x224",
            rich_help_panel=_CODE,
        ),
    ] = None,
    fixed: Annotated[
        bool,
        typer.Option(
            "--fixed", help="Pin H and W to --size; needed for FC heads.", rich_help_panel=_GRAPH
        ),
    ] = False,
    any_size: Annotated[
        str | None,
        typer.Option(
            metavar="reflect|edge|zero",
            help="Pad to the next size that it takes and crop back, inside the graph.",
            rich_help_panel=_GRAPH,
        ),
    ] = None,
    opset: Annotated[
        int | None,
        typer.Option(
            min=13,
            help="Of ONNX's operators.",
            show_default="the newest that is sound",
            rich_help_panel=_GRAPH,
        ),
    ] = None,
    as_bytes: Annotated[
        bool,
        typer.Option(
            "--bytes",
            help="Take uint8 pixels (n, h, w, c) and scale them inside.",
            rich_help_panel=_BATTERIES,
        ),
    ] = False,
    answer: Annotated[
        Literal["logits", "softmax", "sigmoid", "argmax", "top_k", "mask"] | None,
        typer.Option(
            help="What to make of the first output, inside.",
            show_default="logits",
            rich_help_panel=_BATTERIES,
        ),
    ] = None,
    top_k: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="How many classes --answer top_k gives.",
            show_default="5",
            rich_help_panel=_BATTERIES,
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            help="The probability above which --answer mask is 1.",
            show_default="0.5",
            rich_help_panel=_BATTERIES,
        ),
    ] = None,
    keep_logits: Annotated[
        bool,
        typer.Option(
            "--keep-logits", help="As an output beside the answer.", rich_help_panel=_BATTERIES
        ),
    ] = False,
    layout: Annotated[
        Literal["NCHW", "NHWC"] | None,
        typer.Option(
            help="Of outputs with channels.", show_default="NCHW", rich_help_panel=_BATTERIES
        ),
    ] = None,
    precision: Annotated[
        Literal["int8", "fp16"] | None,
        typer.Option(
            help="Write <name>-int8.onnx or <name>-fp16.onnx beside it.", rich_help_panel=_FASTER
        ),
    ] = None,
    weights_fp16: Annotated[
        bool,
        typer.Option(
            "--weights-fp16",
            help="Write <name>-weights-fp16.onnx beside it: half the file, computed in fp32.",
            rich_help_panel=_FASTER,
        ),
    ] = False,
    calibration: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Pictures: every other one to calibrate with, the rest to compare on.",
            rich_help_panel=_FASTER,
        ),
    ] = None,
    calibration_method: Annotated[
        Literal["minmax", "entropy"],
        typer.Option(help="How int8 finds the ranges of activations.", rich_help_panel=_FASTER),
    ] = "minmax",
    min_agreement: Annotated[
        float,
        typer.Option(
            help="The share of answers that must be fp32's; below it nothing is written.",
            rich_help_panel=_FASTER,
        ),
    ] = 0.99,
    rescue: Annotated[
        bool,
        typer.Option(
            help="Keep the layers that hurt most in fp32 where that reaches it.",
            rich_help_panel=_FASTER,
        ),
    ] = True,
    name: Annotated[
        str | None, typer.Option(help="What to call it.", rich_help_panel=_SAID)
    ] = None,
    description: Annotated[
        str | None, typer.Option(help="What it does, in a sentence.", rich_help_panel=_SAID)
    ] = None,
    task: Annotated[
        Literal["classification", "segmentation", "regression"] | None,
        typer.Option(help="What it is for.", rich_help_panel=_SAID),
    ] = None,
    classes: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The classes' names, one a line.", rich_help_panel=_SAID),
    ] = None,
    channels: Annotated[
        int | None,
        typer.Option(min=1, help="How many it has.", show_default="3", rich_help_panel=_IMAGE),
    ] = None,
    colour: Annotated[
        Literal["RGB", "BGR", "GRAY"] | None,
        typer.Option(
            help="Their order.",
            show_default="RGB; GRAY for one channel",
            rich_help_panel=_IMAGE,
        ),
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option(
            metavar="A",
            help="What pixels of 0..255 are multiplied by.",
            show_default="1/255",
            rich_help_panel=_IMAGE,
        ),
    ] = None,
    mean: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...",
            help="Then subtracted, by channel.",
            show_default="0",
            rich_help_panel=_IMAGE,
        ),
    ] = None,
    std: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...",
            help="Then divided by, by channel.",
            show_default="1",
            rich_help_panel=_IMAGE,
        ),
    ] = None,
) -> None:
    """Export models to ONNX files whose sizes have been proven.

    Every axis that is left open is proven: ONNX Runtime against PyTorch, at sizes that the export
    never saw. An axis that fails is refused, and the node that fixes it is named. What is given
    here comes before what a recipe, a library or a card says.

    Example: anyres export torchvision:fcn_resnet50 --weights fcn.pth --out models
    """
    from anyres_analyzer.errors import AnalysisError
    from anyres_exporter.commands.run import run, run_faster
    from anyres_exporter.errors import ExportError
    from anyres_exporter.precision.request import Asked, Kind

    if name is not None and len(targets) > 1:
        raise typer.BadParameter(f"--name is for one model; there are {len(targets)}")
    plain = {"mean": (0.0,) * channels, "std": (1.0,) * channels} if channels else {}
    image = plain | {
        "channels": channels,
        "colour": colour or ("GRAY" if channels == 1 else None),
        "scale": values.number("--scale", scale) if scale else None,
        **_given(mean=values.numbers("--mean", mean), std=values.numbers("--std", std)),
    }
    said: dict[str, Any] = {
        "name": name,
        "description": description,
        "task": task,
        "classes": values.classes(classes) or None,
        "arguments": values.arguments("--arg", arg or ()) or None,
        "weights": _given(file=weights and weights.absolute(), key=weights_key) or None,
        "size": values.height_width("--size", size) if size else None,
        "dynamic": False if fixed else None,
        "any_size": any_size,
        "opset": opset,
        "pixels": "bytes" if as_bytes else None,
        "answer": answer,
        "top_k": top_k,
        "threshold": threshold,
        "keep_logits": keep_logits or None,
        "layout": layout,
        "input": _given(**image) or None,
    }
    try:
        kinds: list[Kind] = [precision] if precision else []
        kinds += ["weights-fp16"] if weights_fp16 else []
        variants = [
            Asked(kind, _pictures(calibration), calibration_method, min_agreement, rescue)
            for kind in kinds
        ]
        for target in targets:
            path = run(target, _given(**said), out, assets)
            for asked in variants:
                run_faster(path, asked, out)
    except (AnalysisError, ExportError) as error:
        raise typer.BadParameter(str(error)) from error


def _pictures(folder: Path | None) -> Path:
    """Asked for before anything takes time."""
    from anyres_exporter.pictures import pictures

    if folder is None:
        raise typer.BadParameter(
            "a faster variant is compared with fp32 on pictures; name a folder (--calibration DIR)"
        )
    pictures(folder)
    return folder


def _given(**options: Any) -> dict[str, Any]:
    """Those that were given."""
    return {key: value for key, value in options.items() if value is not None}
