"""What travels for each kind of picture that people hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from anyres_client import Client, InvalidRequest
from anyres_client.codec import IMAGE_BYTES, predict_request
from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb
from anyres_proto.tensors import to_array


def sent(fake: Any, picture: Any) -> pb.Image:
    with Client(fake.address) as client:
        client.predict(picture, model="zones")
    image: pb.Image = fake.requests[-1].image
    return image


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "bmp"])
def test_a_file_travels_as_its_bytes(fake: Any, tmp_path: Path, pixels: Any, suffix: str) -> None:
    path = tmp_path / f"photo.{suffix}"
    Image.fromarray(pixels).save(path)
    for picture in (path, str(path), path.read_bytes()):
        assert sent(fake, picture).encoded == path.read_bytes()


def test_what_is_no_image_is_left_for_the_server_to_say(fake: Any, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(InvalidRequest, match="no PNG or JPEG"):
        sent(fake, tmp_path / "notes.txt")


def test_an_array_travels_as_it_is(fake: Any, pixels: Any) -> None:
    assert (to_array(sent(fake, pixels).tensor) == pixels).all()


def test_a_view_of_an_array_travels_as_it_looks(fake: Any, pixels: Any) -> None:
    assert (to_array(sent(fake, pixels[::-2, ::3]).tensor) == pixels[::-2, ::3]).all()


def test_an_open_file_travels_as_its_bytes_and_stays_where_it_was(fake: Any, photo: Path) -> None:
    with photo.open("rb") as file:
        for _ in range(2):
            assert sent(fake, file).encoded == photo.read_bytes()
    with photo.open(errors="replace") as text, pytest.raises(InvalidRequest, match="'rb'"):
        sent(fake, text)


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (5, 7, 3), (5, 7, 4)])
@pytest.mark.parametrize(
    ("dtype", "largest"), [(np.uint16, 65535), (np.float32, 1), (np.float64, 1), (np.bool_, 1)]
)
def test_pixels_of_another_depth_are_scaled_to_eight_bits(
    fake: Any, shape: tuple[int, ...], dtype: Any, largest: int
) -> None:
    whole = np.random.default_rng(0).uniform(0, largest + (largest > 1), shape)
    array = (whole > 0.5 if dtype is np.bool_ else whole).astype(dtype)
    got = to_array(sent(fake, array).tensor)
    assert got.dtype == np.uint8
    assert got.shape == array.shape
    assert np.abs(got - array.astype(np.float64) / largest * 255).max() <= 0.5 + 1e-6


def test_floats_by_channel_are_the_networks_own_input_and_stay() -> None:
    planes = np.random.default_rng(0).normal(0, 9, (3, 4, 3)).astype(np.float32)
    packed = predict_request(planes, "zones", "", ["classes"], 5)
    request = pb.PredictRequest.FromString(packed)
    assert (to_array(request.image.tensor) == planes).all()


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P"])
def test_a_pil_image_travels_without_loss(fake: Any, pixels: Any, mode: str) -> None:
    image = Image.fromarray(pixels).convert(mode)
    got = to_array(sent(fake, image).tensor)
    back = image.convert("RGB" if mode == "P" else "L" if mode == "1" else mode)
    assert (got == np.asarray(back)).all()


@pytest.mark.parametrize("mode", ["RGBA", "CMYK", "F", "LA"])
def test_a_pil_image_that_would_lose_something_is_refused(fake: Any, mode: str) -> None:
    with pytest.raises(InvalidRequest, match=rf"{mode} would lose .*convert\('RGB'\)"):
        sent(fake, Image.new(mode, (3, 2)))


@pytest.mark.parametrize(
    "array",
    [
        np.full((2, 3), 1.1),
        np.full((2, 3), -0.1, np.float32),
        np.full((2, 3), np.nan),
        np.zeros((2, 3), np.int32),
        np.zeros((2, 3), complex),
        np.zeros(6, np.uint8),
        np.zeros((1, 3, 2, 2), np.float32),
    ],
    ids=str,
)
def test_an_array_that_is_no_picture_is_refused_by_type_and_shape(fake: Any, array: Any) -> None:
    with pytest.raises(InvalidRequest, match=rf"got {array.dtype} \({array.shape[0]}"):
        sent(fake, array)


def test_a_file_that_is_not_there_is_said_by_name(fake: Any, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"cannot read .*gone.png: No such file"):
        sent(fake, tmp_path / "gone.png")


def test_a_thing_that_is_no_picture_is_said_by_type(fake: Any) -> None:
    with pytest.raises(InvalidRequest, match="got int"):
        sent(fake, 7)


def test_a_picture_larger_than_a_request_is_said_so(fake: Any) -> None:
    with pytest.raises(InvalidRequest, match="256 MiB does not fit"):
        sent(fake, bytes(IMAGE_BYTES + 1))
    assert not fake.requests
