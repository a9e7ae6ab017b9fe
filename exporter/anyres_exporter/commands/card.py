"""`anyres card stamp` and `anyres card show`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from anyres_exporter.commands import values

if TYPE_CHECKING:
    from anyres_proto.card import Card

card = typer.Typer(
    help="Write what a graph tells into a model's file, and show what stands there.",
    epilog="Example: anyres card stamp model.onnx --task segmentation",
)

Model = Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="An ONNX file.")]
Numbers = Annotated[str | None, typer.Option(metavar="A,B,...", help="One number a channel.")]


@card.command()
def stamp(
    model: Model,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Write a copy there.", show_default="the file itself"),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="What to call it.", show_default="the file's name")
    ] = None,
    description: Annotated[str, typer.Option(help="What it does, in a sentence.")] = "",
    task: Annotated[
        Literal["classification", "segmentation", "regression"] | None,
        typer.Option(help="What it is for.", show_default="unknown"),
    ] = None,
    classes: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The classes' names, one a line.")
    ] = None,
    meaning: Annotated[
        Literal["logits", "probabilities", "values"] | None,
        typer.Option(help="What the outputs are.", show_default="by the last layer"),
    ] = None,
    colour: Annotated[
        Literal["RGB", "BGR", "GRAY"] | None,
        typer.Option(help="The order of its channels.", show_default="RGB; GRAY for one channel"),
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option(help="What pixels of 0..255 are multiplied by.", show_default="1/255"),
    ] = None,
    mean: Annotated[
        str | None,
        typer.Option(metavar="A,B,...", help="Then subtracted, by channel.", show_default="0"),
    ] = None,
    std: Annotated[
        str | None,
        typer.Option(metavar="A,B,...", help="Then divided by, by channel.", show_default="1"),
    ] = None,
    also: Annotated[
        Literal["bioimageio"] | None,
        typer.Option("--format", help="Write the axes in these words too, beside the card."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a card that was proven.")] = False,
) -> None:
    """Write a card into a model: sizes it takes, what it sees, how it may be cut, what it costs.

    All that is derived from the graph, and the card says that nothing of it was proven; what only
    its author knows can be given here, and what is not given is named as assumed. The graph and
    all other metadata stay as they are, byte for byte, and external weights where they lie.
    With --format bioimageio the tensors are written as bioimage.io describes them (format 0.5),
    under the key anyres.bioimageio.

    Example: anyres card stamp model.onnx --task segmentation --classes classes.txt
    """
    from anyres_analyzer.errors import AnalysisError
    from anyres_exporter.card.compose import Told
    from anyres_exporter.card.stamp import stamp as stamped
    from anyres_exporter.errors import ExportError

    told = Told(
        name=name if name is not None else _name(model),
        description=description,
        task=task,
        meaning=meaning,
        classes=values.classes(classes),
        colour=colour,
        scale=values.number("--scale", scale) if scale else None,
        mean=values.numbers("--mean", mean),
        std=values.numbers("--std", std),
    )
    try:
        done = stamped(model, told, out, bioimageio=also is not None, force=force)
    except (AnalysisError, ExportError) as error:
        raise typer.BadParameter(str(error)) from error
    sizes = done.card.sizes
    tiles = "tiles are exact" if done.card.tiling.exact else "no exact tiles"
    typer.echo(
        f"{done.path}  stamped as '{done.card.name}', not proven: width {sizes.width.expected()}, "
        f"height {sizes.height.expected()}; {tiles}"
    )


@card.command()
def show(
    model: Model,
    as_json: Annotated[
        bool, typer.Option("--json", help="The card's JSON, exactly as it stands in the file.")
    ] = False,
    words: Annotated[
        Literal["bioimageio"] | None,
        typer.Option("--format", help="The axes as YAML for an rdf.yaml instead."),
    ] = None,
) -> None:
    """Show a model's card: which sizes it takes, what it sees, tiles, cost, proofs, provenance.

    Sizes are written as image people do, width first: 451x300 is 451 wide and 300 high.

    Example: anyres card show out/models/mobilenet_v2_fcn.onnx
    """
    from rich.console import Console

    from anyres_exporter.card.view import show as shown

    text, found = _card(model)
    if as_json:
        typer.echo(text)
    elif words is not None:
        typer.echo(_bioimageio(model, found), nl=False)
    else:
        shown(found, Console(highlight=False))


def _card(model: Path) -> tuple[str, Card]:
    from pydantic import ValidationError

    from anyres_analyzer.errors import AnalysisError
    from anyres_exporter.card.stamp import card_text
    from anyres_proto.card import Card

    try:
        text = card_text(model)
        if text is None:
            raise typer.BadParameter(
                f"{model} has no card; to write one: anyres card stamp {model}"
            )
        return text, Card.model_validate_json(text)
    except AnalysisError as error:
        raise typer.BadParameter(str(error)) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise typer.BadParameter(
            f"the card of {model} is wrong at {where}: {first['msg']}"
        ) from error


def _bioimageio(model: Path, found: Card) -> str:
    """Derived anew, so that it is of this graph."""
    from anyres_analyzer import analyze
    from anyres_analyzer.errors import AnalysisError
    from anyres_exporter.bioimageio.tensors import fragment
    from anyres_exporter.errors import NotExpressible

    try:
        return str(fragment(analyze(model), found))
    except (AnalysisError, NotExpressible) as error:
        raise typer.BadParameter(str(error)) from error


def _name(model: Path) -> str:
    """The file's name, as far as it is a name."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", model.stem).lstrip("_.-") or "model"
