"""Files of every kind become the pixels that the rules promise; Pillow writes, numpy judges."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import PIL
import pytest
from numpy.typing import NDArray
from PIL import ExifTags, Image

from anyres_proto.card import ImageInput
from anyres_server.errors import InvalidRequest
from anyres_server.picture.image import Picture, open_image

RGB = ImageInput()
GRAY = ImageInput(channels=1, colour="GRAY", mean=(0.0,), std=(1.0,))


def file_of(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def decoded(data: bytes, spec: ImageInput = RGB) -> NDArray[Any]:
    picture = open_image(data, spec, max_pixels=10_000).decode()
    assert isinstance(picture, Picture)
    return picture.pixels


def noise(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def ramp(height: int, width: int) -> NDArray[np.uint8]:
    """Grey that grows to the right, and faster downwards: no turn of it looks like another."""
    rows, columns = np.mgrid[:height, :width]
    grey = (3 * columns + 7 * rows).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


@pytest.mark.parametrize(
    ("kind", "options"),
    [("PNG", {}), ("BMP", {}), ("TIFF", {}), ("WEBP", {"lossless": True})],
)
def test_a_lossless_file_gives_its_pixels_back(kind: str, options: dict[str, Any]) -> None:
    pixels = noise(7, 5, 3)
    assert (decoded(file_of(Image.fromarray(pixels), kind, **options)) == pixels).all()


def test_a_jpeg_comes_close() -> None:
    pixels = ramp(20, 30)
    back = decoded(file_of(Image.fromarray(pixels), "JPEG", quality=95))
    assert np.abs(back.astype(int) - pixels).max() < 8


# EXIF orientation -> how the stored pixels must be turned to stand upright (the EXIF standard).
TURNS = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.transpose(1, 0, 2),
    6: lambda p: np.rot90(p, -1),
    7: lambda p: p[::-1, ::-1].transpose(1, 0, 2),
    8: lambda p: np.rot90(p),
}


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize(
    ("kind", "options"),
    [("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True}), ("JPEG", {"quality": 95})],
)
def test_pictures_come_out_upright(orientation: int, kind: str, options: dict[str, Any]) -> None:
    pixels = ramp(20, 30)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    file = file_of(Image.fromarray(pixels), kind, exif=exif, **options)
    upright = TURNS[orientation](pixels)
    assert decoded(file).shape == upright.shape
    assert np.abs(decoded(file).astype(int) - upright).max() < 8


def test_sixteen_bits_are_scaled_to_eight() -> None:
    deep = np.array([[0, 128, 129, 257, 32768, 65535]], np.uint16)
    grey = decoded(file_of(Image.fromarray(deep)), GRAY)
    assert grey[0, :, 0].tolist() == [round(value * 255 / 65535) for value in deep[0].tolist()]
    assert decoded(file_of(Image.fromarray(deep))).shape == (1, 6, 3)


def test_transparency_shows_white() -> None:
    pixels = np.zeros((1, 3, 4), np.uint8)
    pixels[0, :, 3] = (0, 128, 255)
    flat = decoded(file_of(Image.fromarray(pixels)))
    assert flat[0].tolist() == [[255] * 3, [127] * 3, [0] * 3]


@pytest.mark.parametrize("mode", ["P", "CMYK", "1", "L", "LA", "YCbCr"])
def test_every_common_mode_becomes_the_colours_it_shows(mode: str) -> None:
    if mode == "YCbCr" and int(PIL.__version__.partition(".")[0]) < 13:
        pytest.skip("this Pillow writes such a TIFF too short")
    corner = Image.new("RGB", (2, 2), "white")
    corner.putpixel((0, 0), (0, 0, 0))
    kind = "TIFF" if mode in {"CMYK", "YCbCr"} else "PNG"
    pixels = decoded(file_of(corner.convert(mode), kind))
    assert pixels.shape == (2, 2, 3)
    assert pixels[0, 0].tolist() == [0, 0, 0]
    assert pixels[1, 1].tolist() == [255, 255, 255]


def test_a_transparent_palette_is_composited_too() -> None:
    image = Image.new("P", (2, 1), 0)
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    pixels = decoded(file_of(image, transparency=0))
    assert pixels[0].tolist() == [[255, 255, 255], [40, 50, 60]]


def test_colour_becomes_luma_for_a_grey_network() -> None:
    pixels = noise(5, 5, 3)
    luma = pixels @ np.array([0.299, 0.587, 0.114])
    grey = decoded(file_of(Image.fromarray(pixels)), GRAY)
    assert grey.shape == (5, 5, 1)
    assert np.abs(grey[..., 0] - luma).max() <= 1


@pytest.mark.parametrize("spec", [RGB, GRAY], ids=["RGB", "grey"])
@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (5, 7, 3), (5, 7, 4)])
def test_an_array_becomes_what_a_file_of_its_pixels_becomes(
    spec: ImageInput, shape: tuple[int, ...]
) -> None:
    array = noise(*shape)
    file = file_of(Image.fromarray(array[..., 0] if shape[2:] == (1,) else array))
    picture = open_image(array, spec, max_pixels=10_000).decode()
    assert isinstance(picture, Picture)
    assert (picture.pixels == decoded(file, spec)).all()


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_thirty_two_bits_a_channel_have_no_range_and_are_refused(dtype: Any) -> None:
    image = Image.fromarray(np.ones((3, 3), dtype))
    with pytest.raises(InvalidRequest, match="32 bits a channel"):
        decoded(file_of(image, "TIFF"))


def test_only_the_part_that_is_asked_for_is_scaled() -> None:
    spec = ImageInput(mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    pixels = noise(9, 8, 3)
    part = Picture(pixels, spec).cut(slice(2, 7), slice(3, 5))
    expected = (pixels[2:7, 3:5] / 255 - np.array(spec.mean)) / np.array(spec.std)
    assert part.shape == (1, 3, 5, 2)
    assert part.dtype == np.float32
    np.testing.assert_allclose(part[0], expected.transpose(2, 0, 1), atol=1e-6)
