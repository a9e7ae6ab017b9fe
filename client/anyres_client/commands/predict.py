"""`anyres predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anyres_client.commands.connecting import Connecting, asks_a_server, model_names


@asks_a_server
def predict(
    photos: Annotated[
        list[Path],
        typer.Argument(
            metavar="PHOTO...",
            help="Image files, each at its own size; folders of them; - for standard input.",
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            help="The model; needed where the server has several.", autocompletion=model_names
        ),
    ] = None,
    output: Annotated[
        list[str] | None,
        typer.Option(
            help="classes, confidence, top_k, probabilities, logits, instances, or an output of "
            "the model's own by its name; again for more."
        ),
    ] = None,
    top_k: Annotated[int, typer.Option(min=1, help="How many classes a cell for top_k.")] = 5,
    save: Annotated[
        Path | None,
        typer.Option(
            help="A file (.png, .tif, .npz, .npy, .json), a folder for several photos, or - for "
            "standard output."
        ),
    ] = None,
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="png|tif|npz|npy|json",
            help="What is saved in a folder or goes to standard output.",
            show_default="png",
        ),
    ] = None,
    overlay: Annotated[
        bool, typer.Option("--overlay", help="Save the prediction drawn on the photo.")
    ] = False,
    open_: Annotated[
        bool, typer.Option("--open", help="Look at what was saved, with the system's own program.")
    ] = False,
    huge: Annotated[
        bool,
        typer.Option(
            "--huge",
            help="One file that may be larger than memory, saved as .npy; takes as long as it "
            "takes. Needs --model and --save.",
        ),
    ] = False,
    timeout: Annotated[float, typer.Option(min=0.001, help="Seconds for each photo.")] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON a photo.")] = False,
    *,
    connecting: Connecting,
) -> None:
    """Predict photos at their own sizes.

    Prints what the model sees: the shares of the cells that each class has. A photo that the
    server refuses is reported and skipped; the exit code is 2 then.

    Example: anyres predict photo.jpg --model climate_unet --overlay --save overlay.png --open
    """
    from anyres_client.bar import Bar
    from anyres_client.client import Client
    from anyres_client.photos import STANDARD, Order, named, predict_each, saved
    from anyres_client.show import predictions_as_json, predictions_as_table

    if open_ and (save is None or save == STANDARD):
        raise typer.BadParameter("--open needs --save with a file or a folder")
    outputs = tuple(output or ("classes",))
    if huge:
        if overlay or open_ or format_ or len(photos) != 1 or len(outputs) != 1:
            raise typer.BadParameter(
                "--huge takes one file and one output, without --overlay, --format or --open"
            )
        if model is None or save is None:
            raise typer.BadParameter("--huge needs --model, and --save with an .npy file")
        from anyres_client.scan import predict_scan

        with Client(connecting.connection()) as client:
            predict_scan(client, photos[0], save, model, outputs[0], as_json=as_json)
        return
    order = Order(list(named(photos)), model, outputs, top_k, save, format_, overlay)
    bar = Bar(model or "photos", len(order.photos))
    with Client(connecting.connection(), timeout=timeout) as client, bar:
        done, failed = predict_each(order, client, bar.advance)
    if save != STANDARD:
        if as_json:
            predictions_as_json(done, objects="instances" in outputs)
        else:
            predictions_as_table(done)
    if open_:
        for path in saved(order):
            if path.exists() and typer.launch(str(path)):
                raise typer.BadParameter(f"no program here opens {path}, which is saved")
    if failed:
        raise typer.Exit(2)
