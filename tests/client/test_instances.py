"""Objects of a class map, and a class map at its image's size, against numpy."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from anyres_client import Client, InvalidRequest, NotRequested, Prediction
from anyres_client.outlines import area


@pytest.fixture
def predict(fake: Any) -> Any:
    def asked(model: str, red: Any, output: Any = ("classes", "confidence")) -> Prediction:
        """A picture whose red decides: 0 is class 0, 128 class 1, 255 class 2."""
        pixels = np.zeros((*np.shape(red), 3), np.uint8)
        pixels[:, :, 0] = red
        with Client(fake.address) as client:
            return client.predict(pixels, model=model, output=output)

    return asked


TWO_BLOTS = np.array(
    [
        [255, 255, 0, 0, 0, 0],
        [255, 0, 0, 0, 255, 0],
        [0, 0, 0, 255, 255, 255],
        [0, 0, 0, 255, 255, 255],
    ]
)


def test_every_blot_is_an_object_the_largest_first(predict: Any) -> None:
    large, small = predict("zones", TWO_BLOTS).instances(["bright sand"])
    assert (large.id, large.class_index, large.class_name) == (1, 2, "bright sand")
    assert (large.area, large.box) == (7, (3, 1, 6, 4))
    assert (small.id, small.area, small.box) == (2, 3, (0, 0, 2, 2))
    assert ((large.mask | small.mask) == (TWO_BLOTS == 255)).all()


def test_an_objects_score_is_the_mean_confidence_of_its_pixels(predict: Any) -> None:
    prediction = predict("zones", TWO_BLOTS)
    for each in prediction.instances():
        assert each.score == pytest.approx(prediction.confidence[each.mask].mean())
    assert all(each.score is None for each in predict("zones", TWO_BLOTS, "classes").instances())


def test_what_is_too_small_or_not_wanted_is_no_object(predict: Any) -> None:
    prediction = predict("zones", TWO_BLOTS)
    assert [each.area for each in prediction.instances([2], min_area=4)] == [7]
    assert [each.class_index for each in prediction.instances(["dark sea"])] == [0]
    assert len(prediction.instances()) == 3


def test_a_class_that_is_not_there_is_named_with_those_like_it(predict: Any) -> None:
    with pytest.raises(InvalidRequest, match="no class 'bright san': bright sand"):
        predict("zones", TWO_BLOTS).instances(["bright san"])


def test_a_coco_annotation_is_json_with_the_mask_in_it(predict: Any) -> None:
    coco = pytest.importorskip("pycocotools.mask")
    (large, _) = predict("zones", TWO_BLOTS).instances([2])
    said = json.loads(json.dumps(large.coco(image_id=7)))
    assert (said["image_id"], said["category_id"], said["area"]) == (7, 2, 7)
    assert said["bbox"] == [3, 1, 3, 3]
    theirs = coco.encode(np.asfortranarray(large.mask.astype(np.uint8)))
    assert said["segmentation"]["counts"] == theirs["counts"].decode("ascii")
    assert coco.toBbox(said["segmentation"]).tolist() == said["bbox"]


def test_polygons_lie_where_the_object_is(predict: Any) -> None:
    (large, _) = predict("zones", TWO_BLOTS).instances([2])
    (ring,) = large.polygons
    assert set(ring) == {(4, 1), (5, 1), (5, 2), (6, 2), (6, 4), (3, 4), (3, 2), (4, 2)}


def test_objects_of_a_coarse_grid_are_in_pixels_of_the_image(predict: Any) -> None:
    """Stride 4, offset 0: the pixels around column 0 and 4 are nearest to cells 0 and 1."""
    red = np.zeros((8, 12), int)
    red[:, 4] = 255
    prediction = predict("things", red)
    (found,) = prediction.instances([2])
    columns = np.flatnonzero(found.mask.any(axis=0))
    assert found.mask.shape == (8, 12)
    assert columns.tolist() == [3, 4, 5]  # 2 and 6 lie half-way: numpy rounds to the even cell


def test_nearest_gives_every_pixel_a_cells_class(predict: Any) -> None:
    prediction = predict("zones", TWO_BLOTS)
    assert (prediction.to_image_size() == prediction.classes).all()


def test_bilinear_is_the_likeliest_class_between_cells(predict: Any) -> None:
    red = np.random.default_rng(3).choice([0, 128, 255], (9, 13))
    prediction = predict("things", red, ("classes", "probabilities"))
    _, height, width = prediction.probabilities.shape
    rows = np.clip(np.arange(9) / 4, 0, height - 1)
    columns = np.clip(np.arange(13) / 4, 0, width - 1)
    between = np.array(
        [
            [
                [np.interp(x, range(width), [np.interp(y, range(height), c) for c in p.T])]
                for y in rows
                for x in columns
            ]
            for p in prediction.probabilities
        ]
    ).reshape(-1, 9, 13)
    expected = between.argmax(axis=0)
    clear = np.sort(between, axis=0)[-1] - np.sort(between, axis=0)[-2] > 1e-6
    assert (prediction.to_image_size("bilinear") == expected)[clear].all()
    assert clear.mean() > 0.8


def test_bilinear_needs_every_classs_probability(predict: Any) -> None:
    with pytest.raises(NotRequested, match="output='probabilities'"):
        predict("zones", TWO_BLOTS).to_image_size("bilinear")


def test_a_notebook_shows_the_class_map(predict: Any) -> None:
    prediction = predict("zones", TWO_BLOTS)
    shown = Image.open(BytesIO(prediction._repr_png_()))
    assert shown.size == (6, 4)
    assert (np.asarray(shown.convert("RGB")) == prediction.palette[prediction.classes]).all()


def test_a_notebook_shows_the_legend_and_how_it_came_about(predict: Any) -> None:
    prediction = predict("zones", TWO_BLOTS)
    page = prediction._repr_html_()
    assert "dark sea 58 %" in page
    assert "zones 1, 6x4 pixels, 6x4 cells, tiled" in page
    (image,) = re.findall(r'src="data:image/png;base64,([^"]*)"', page)
    assert b64decode(image) == prediction._repr_png_()
    assert "http" not in page
    assert predict("zones", TWO_BLOTS, output="logits")._repr_html_() is None


def test_polygons_enclose_each_classs_pixels(predict: Any) -> None:
    prediction = predict("zones", TWO_BLOTS)
    pixels = prediction.to_image_size()
    found = prediction.polygons()
    assert set(found) == {share.name for share in prediction.shares()}
    for name, rings in found.items():
        index = prediction.class_index(name)
        assert sum(map(area, rings)) == (pixels == index).sum()
    assert list(prediction.polygons(["wood [dense]"])) == ["wood [dense]"]
