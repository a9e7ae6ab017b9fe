"""What the browser is given, without one: against the client's own answer, pixel by pixel."""

from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from anyres_client import Client, InvalidRequest, ModelNotFound
from anyres_client.saving import png
from anyres_client.web import panels
from anyres_client.web.asking import answer, ready_models
from anyres_client.web.shown import LONGEST, class_map, shown


def decoded(data: str) -> NDArray[np.uint8]:
    kind, _, text = data.partition(";base64,")
    assert kind in ("data:image/png", "data:image/jpeg")
    return np.asarray(Image.open(BytesIO(base64.b64decode(text))))


def test_the_map_holds_the_class_and_the_confidence_of_every_pixel(
    client: Client, photo: Path
) -> None:
    found = answer(client, str(photo), "brightest")
    said = shown(found.prediction, found.photo)
    expected = client.predict(photo, model="brightest", output=["classes", "confidence"])
    red, green, blue = np.moveaxis(decoded(said["map"]), -1, 0)
    assert (red + 256 * green.astype(int) == expected.classes).all()
    assert (blue == np.rint(expected.confidence * 255)).all()
    assert said["size"] == said["image"] == [90, 60]
    colours = {entry["index"]: entry["colour"] for entry in said["classes"]}
    assert colours == {s.index: expected.palette[s.index].tolist() for s in expected.shares()}


def test_what_is_larger_than_a_screen_is_shown_smaller_and_downloaded_whole(
    client: Client, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (40, 3000, 3), np.uint8)
    path = tmp_path / "wide.png"
    Image.fromarray(pixels).save(path)
    found = answer(client, str(path), "brightest")
    said = shown(found.prediction, found.photo)
    width, height = said["size"]
    assert (width, said["image"]) == (LONGEST, [3000, 40])
    assert decoded(said["photo"]).shape == decoded(said["map"]).shape == (height, width, 3)
    brightest = pixels.argmax(axis=2)
    for x, y in ((0, 0), (width - 1, height - 1), (777, 3)):  # the pixel in which this one's is
        at = int((y + 0.5) * 40 / height), int((x + 0.5) * 3000 / width)
        assert decoded(said["map"])[y, x, 0] == brightest[at]
    assert found.mask() == png(brightest.astype(np.uint8), found.prediction.palette)


def test_a_class_beyond_255_needs_two_of_the_colours(client: Client, photo: Path) -> None:
    prediction = client.predict(photo, model="brightest")
    wide = prediction.outputs["classes"].astype(np.uint16) * 300
    many = type(prediction)(**{**vars(prediction), "outputs": {"classes": wide}})
    red, green, blue = np.moveaxis(class_map(many, prediction.image_size), -1, 0)
    assert (red + 256 * green.astype(int) == wide).all()
    assert (blue == 255).all()


def test_what_goes_wrong_is_a_sentence(client: Client, photo: Path, tmp_path: Path) -> None:
    letter = tmp_path / "letter.png"
    letter.write_text("Dear Sir or Madam")
    with pytest.raises(InvalidRequest, match="no format that Pillow reads"):
        answer(client, str(letter), "brightest")
    with pytest.raises(ModelNotFound, match="nobody"):
        answer(client, str(photo), "nobody")
    assert ready_models(client) == ["brightest"]


def test_the_panels_tell_route_and_cost_and_take_no_name_for_html(
    client: Client, photo: Path
) -> None:
    found = answer(client, str(photo), "brightest")
    told = panels.cost(found)
    took = found.prediction.timing.compute_s
    assert "<td>whole</td>" in told
    assert f"<td>{took * 1000:.1f} ms</td>" in told or f"<td>{took * 1000:,.0f} ms</td>" in told
    assert f"<td>{found.estimate.activation_bytes / 2**20:,.1f} MiB</td>" in told
    card: Any = client.model("brightest").model_copy(update={"description": "<b>bold</b>"})
    assert "&lt;b&gt;bold&lt;/b&gt;" in panels.report(card)
