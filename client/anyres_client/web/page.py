"""The page: a picture goes in on the left, what the server says of it is on the right.

One column on a phone, two on a desktop. What moves while somebody looks (slider, legend, pointer)
is the viewer's and asks nobody; only a new picture or another model asks the server.

No event goes through Gradio's queue: its stream of answers is closed once all that were asked for
are there, and what a browser asks for in that moment is answered to nobody.
"""

from __future__ import annotations

import json
from functools import partial
from html import escape
from importlib.resources import files
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any, TypeAlias

import gradio
from gradio.processing_utils import save_bytes_to_cache

from anyres_client.client import Client
from anyres_client.errors import ClientError
from anyres_client.web import panels
from anyres_client.web.asking import Answer, answer, ready_models
from anyres_client.web.shown import shown

TITLE = "anyres"
EXAMPLES = ("cat.jpg", "coffee.jpg", "earth.jpg")
AT_ONCE = 4  # pictures that are asked about at the same time
KEPT_S = 3600  # how long files of others are kept
LOOKS_EVERY_S = 0.5  # Gradio, into its queue; a thousand times a second as it comes

Update: TypeAlias = Any  # what Gradio takes for a component: a value, or `gradio.update`


def page(client: Client) -> gradio.Blocks:
    """The page about one server."""
    blocks: gradio.Blocks = gradio.Blocks(
        title=TITLE, analytics_enabled=False, fill_width=True, delete_cache=(KEPT_S, KEPT_S)
    )
    with blocks:
        gradio.HTML(_heading(client.connection.address), elem_id="heading")
        with gradio.Row(elem_id="columns"):
            with gradio.Column(scale=1, min_width=280, elem_id="asking"):
                photo = gradio.File(
                    label="Picture", file_types=["image"], height=140, elem_id="photo"
                )
                model = gradio.Dropdown(label="Model", choices=[], elem_id="model")
                with gradio.Row(elem_id="examples"):
                    for name in EXAMPLES:
                        _example(name, photo)
                report = gradio.HTML(elem_id="report")
            with gradio.Column(scale=3, min_width=320, elem_id="answer"):
                viewer = _viewer()
                mask = gradio.DownloadButton(
                    "Download mask", visible=False, size="sm", elem_id="mask"
                )
                cost = gradio.HTML(elem_id="cost")
        blocks.load(
            partial(_models, client), None, [model, viewer], show_progress="hidden", queue=False
        )
        model.change(
            partial(_report, client), [model], [report], show_progress="hidden", queue=False
        )
        gradio.on(
            [photo.change, model.input],
            partial(_ask, client, mask.GRADIO_CACHE, BoundedSemaphore(AT_ONCE)),
            [photo, model],
            [viewer, cost, mask],
            show_progress="minimal",
            show_progress_on=viewer,
            trigger_mode="always_last",
            queue=False,
        )
    blocks._queue.sleep_when_free = LOOKS_EVERY_S  # nothing comes; looking took 6 % of a processor
    return blocks


def style() -> str:
    """The style sheets of the page and of the viewer."""
    return "".join(_own("viewer", name).read_text() for name in ("page.css", "viewer.css"))


def _example(name: str, photo: gradio.File) -> None:
    """A button that puts one of our own pictures where an upload would be."""
    path = str(examples() / name)
    button = gradio.Button(Path(name).stem.title(), icon=path, size="sm", min_width=72)
    button.click(lambda: path, None, [photo], show_progress="hidden", queue=False)


def examples() -> Path:
    """The folder of our own pictures."""
    return _own("examples")


def _viewer() -> gradio.HTML:
    text = {kind: _own("viewer", f"viewer.{kind}").read_text() for kind in ("html", "js")}
    return gradio.HTML(
        value="",
        html_template=text["html"],
        js_on_load=text["js"],
        apply_default_css=False,
        elem_id="viewer",
    )


def _models(client: Client) -> tuple[Update, Update]:
    try:
        names = ready_models(client)
    except ClientError as error:
        return gradio.update(choices=[], value=None), _problem(error)
    if not names:
        return gradio.update(choices=[], value=None), _told(
            "The server has no model that is ready."
        )
    return gradio.update(choices=names, value=names[0]), gradio.update()


def _report(client: Client, model: str | None) -> str:
    """The model's card; nothing where there is none, since the viewer says why."""
    if model is None:
        return ""
    try:
        return panels.report(client.model(model))
    except ClientError as error:
        return f'<p class="problem">{escape(_sentence(error))}</p>'


def _ask(
    client: Client, cache: str, turns: BoundedSemaphore, path: str | None, model: str | None
) -> tuple[Update, ...]:
    """The viewer's picture, route and cost, and the mask to download."""
    if path is None or model is None:
        return "", "", gradio.update(visible=False)
    try:
        with turns:
            found = answer(client, path, model)
            viewed, mask = _viewed(found), found.mask()
    except ClientError as error:
        return _problem(error), "", gradio.update(visible=False)
    file = save_bytes_to_cache(mask, f"{Path(path).stem}.mask.png", cache)
    return viewed, panels.cost(found), gradio.update(value=file, visible=True)


def _viewed(found: Answer) -> str:
    return _as_value(shown(found.prediction, found.photo))


def _problem(error: ClientError) -> str:
    return _told(_sentence(error))


def _told(sentence: str) -> str:
    return _as_value({"problem": sentence})


def _sentence(error: ClientError) -> str:
    text = " ".join(str(error).split())
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def _as_value(said: dict[str, Any]) -> str:
    """JSON in which no name of a class can be taken for HTML."""
    return json.dumps(said).replace("<", "\\u003c")


def _heading(address: str) -> str:
    return f"<h1>{TITLE}</h1><p>any picture, at its own size &middot; {escape(address)}</p>"


def _own(*names: str) -> Path:
    return Path(str(files("anyres_client.web").joinpath(*names)))
