"""Overlays, legends and files, against pixels that can be worked out by hand."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from anyres_client import Client, InvalidRequest, NotRequested, Prediction


@pytest.fixture
def predict(fake: Any, pixels: Any) -> Any:
    def asked(
        model: str, output: Any = "overlay", picture: Any = pixels, **more: Any
    ) -> Prediction:
        with Client(fake.address) as client:
            return client.predict(picture, model=model, output=output, **more)

    return asked


def test_a_class_map_covers_the_photo_in_the_classes_colours(predict: Any, pixels: Any) -> None:
    prediction = predict("zones")
    drawn = np.asarray(prediction.overlay(pixels, alpha=1.0, legend=False))
    assert (drawn == prediction.palette[prediction.classes]).all()


def test_the_photo_shows_through_a_class_map(predict: Any, pixels: Any) -> None:
    bright, dark = np.full_like(pixels, 90), np.full_like(pixels, 10)
    one, other = (
        np.asarray(predict("zones", picture=p).overlay(p, legend=False)).mean()
        for p in (bright, dark)
    )
    assert one > other + 10


def test_heat_is_nowhere_but_where_the_class_is(predict: Any, fake: Any) -> None:
    pixels = np.full((24, 48, 3), 255, np.uint8)
    pixels[:, 24:, 0] = 0
    prediction = predict("things", "probabilities", pixels)
    drawn = np.asarray(prediction.overlay(pixels, class_index=2, alpha=1.0, legend=False))
    assert (drawn[:, :20] == (252, 255, 164)).all()  # the hottest colour
    grey = np.ptp(drawn[:, 28:].astype(int), axis=2)
    assert grey.max() < 100  # the photo itself, muted
    assert not (drawn[:, 28:] == (252, 255, 164)).all(axis=2).any()


def test_a_cell_lies_where_the_cards_geometry_puts_it(predict: Any) -> None:
    """Stride 4, offset 0: cell 1 is centred on pixel 4, half-way to its neighbours on 2 and 6."""
    pixels = np.zeros((1, 12, 3), np.uint8)
    pixels[:, 4, 0] = 255
    prediction = predict("things", "probabilities", pixels)
    drawn = np.asarray(prediction.overlay(pixels, class_index=2, alpha=1.0, legend=False))
    heat = drawn[0].astype(int).sum(axis=1)
    assert heat.argmax() == 4
    assert heat[3] == heat[5] > heat[2] == heat[6] > heat[1]


def test_the_likeliest_class_is_the_one_drawn(predict: Any) -> None:
    pixels = np.full((8, 8, 3), 120, np.uint8)
    for output in ("overlay", "probabilities", "logits", ["classes", "confidence"]):
        assert predict("things", output, pixels).likeliest() == 1


def test_heat_is_the_same_from_probabilities_and_logits(predict: Any) -> None:
    from_logits, probabilities = predict("things", "logits"), predict("things", "probabilities")
    assert np.allclose(from_logits.heat(1), probabilities.probabilities[1])
    assert np.allclose(probabilities.heat(1), probabilities.probabilities[1])


def test_heat_from_the_top_k_is_zero_where_the_class_is_not_among_them(predict: Any) -> None:
    prediction = predict("things", ["top_k", "probabilities"], top_k=1)
    lean = predict("things", "top_k", top_k=1)
    first = prediction.probabilities.argmax(axis=0) == 2
    assert np.allclose(lean.heat(2), np.where(first, prediction.probabilities[2], 0))


def test_heat_needs_something_like_probabilities(predict: Any, pixels: Any) -> None:
    with pytest.raises(NotRequested, match="output='probabilities'"):
        predict("things", "classes").overlay(pixels)


def test_a_class_that_does_not_exist_is_refused(predict: Any, pixels: Any) -> None:
    with pytest.raises(InvalidRequest, match="no class 3; its classes are 0 to 2"):
        predict("things").overlay(pixels, class_index=3)


def test_an_overlay_needs_the_photo_that_was_predicted(predict: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"5x4, but .* 12x6"):
        predict("zones").overlay(np.zeros((4, 5, 3), np.uint8))


@pytest.mark.parametrize("width", [1, 12, 60, 451, 3000])
@pytest.mark.parametrize("model", ["zones", "things"])
def test_a_legend_is_a_strip_below_as_wide_as_the_photo(
    predict: Any, model: str, width: int
) -> None:
    pixels = np.zeros((5, width, 3), np.uint8)
    drawn = predict(model, picture=pixels).overlay(pixels)
    assert drawn.width == width
    assert drawn.height > 5 + 12


def test_a_legend_shows_every_class_in_its_colour(predict: Any) -> None:
    seen = set(map(tuple, np.asarray(predict("zones").legend()).reshape(-1, 3).tolist()))
    assert seen >= {(20, 40, 160), (30, 140, 60), (240, 200, 90)}


def test_shares_are_parts_of_all_cells_the_largest_first(predict: Any) -> None:
    pixels = np.zeros((4, 10, 3), np.uint8)
    pixels[:, :3, 0] = 255
    shares = predict("zones", picture=pixels).shares()
    assert [(s.index, s.name, s.share) for s in shares] == [
        (0, "dark sea", 0.7),
        (2, "bright sand", 0.3),
    ]


def test_a_class_map_becomes_a_png_with_its_palette(predict: Any, tmp_path: Path) -> None:
    prediction = predict("zones")
    prediction.save(tmp_path / "map.png")
    with Image.open(tmp_path / "map.png") as image:
        assert image.mode == "P"
        assert (np.asarray(image) == prediction.classes).all()
        assert (np.asarray(image.convert("RGB")) == prediction.palette[prediction.classes]).all()


def test_a_class_map_of_more_than_256_classes_becomes_grey_with_16_bits(
    predict: Any, tmp_path: Path
) -> None:
    few = predict("zones")
    output = few.card.output.model_copy(update={"channels": 300})
    classes = np.array([[0, 299], [256, 1]], np.uint16)
    many = dataclasses.replace(
        few, card=few.card.model_copy(update={"outputs": (output,)}), outputs={"classes": classes}
    )
    many.save(tmp_path / "map.png")
    with Image.open(tmp_path / "map.png") as image:
        assert (np.asarray(image) == classes).all()


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_an_overlay_becomes_an_image_file(
    predict: Any, pixels: Any, tmp_path: Path, suffix: str
) -> None:
    prediction, path = predict("zones"), tmp_path / f"overlay.{suffix}"
    prediction.save(path, overlay_on=pixels)
    with Image.open(path) as image:
        assert image.size == prediction.overlay(pixels).size


def test_arrays_become_npz_and_npy(predict: Any, tmp_path: Path) -> None:
    prediction = predict("things", ["classes", "confidence"])
    prediction.save(tmp_path / "all.npz")
    with np.load(tmp_path / "all.npz") as held:
        assert {*held} == {"classes", "confidence"}
        assert (held["confidence"] == prediction.confidence).all()
    with pytest.raises(InvalidRequest, match=r"classes, confidence: use \.npz"):
        prediction.save(tmp_path / "all.npy")
    predict("things", "logits").save(tmp_path / "one.npy")
    assert np.load(tmp_path / "one.npy").shape == (3, 2, 3)


def test_a_summary_becomes_json(predict: Any, tmp_path: Path) -> None:
    predict("zones").save(tmp_path / "said.json")
    said = json.loads((tmp_path / "said.json").read_text())
    assert said["image_size"] == [6, 12]
    assert (said["route"], said["pieces"]) == ("tiled", 6)
    assert {entry["name"]: entry["share"] for entry in said["classes"]}["wood [dense]"] == 0.333333


def test_a_suffix_that_means_nothing_is_refused(predict: Any, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"map\.gif.*\.png, \.tif, \.tiff, \.npz"):
        predict("zones").save(tmp_path / "map.gif")


def test_a_file_that_cannot_be_written_leaves_the_old_one(predict: Any, tmp_path: Path) -> None:
    target = tmp_path / "map.png"
    target.write_bytes(b"old")
    with pytest.raises(NotRequested):
        predict("zones", "logits").save(target)
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["map.png"]
