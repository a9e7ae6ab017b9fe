"""A picture here becomes the very pixels that the server makes of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

from anyres_exporter.errors import BadPicture
from anyres_exporter.pictures import decoded, pictures, prepared, size_of
from anyres_proto.card import ImageInput
from anyres_server.errors import InvalidRequest
from anyres_server.picture.image import Picture, open_image

RGB = ImageInput(mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
BGR = ImageInput(colour="BGR", mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
GRAY = ImageInput(channels=1, colour="GRAY", mean=(0.4,), std=(0.2,))


def noise(*shape: int, kind: Any = np.uint8) -> Any:
    return np.random.default_rng(0).integers(0, np.iinfo(kind).max + 1, shape, kind)


def colours(mode: Any = "RGB") -> Image.Image:
    return Image.fromarray(noise(9, 13, 3)).convert(mode)


def turned(path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    colours().save(path, exif=exif)


def palette_with_a_hole(path: Path) -> None:
    colours().quantize(8).save(path, transparency=3)


def two_pages(path: Path) -> None:
    colours().save(path, save_all=True, append_images=[Image.new("RGB", (5, 5))])


# what it is -> (suffix, how it is written)
ODD: dict[str, tuple[str, Callable[[Path], object]]] = {
    **{
        f"turned {n}{suffix}": (suffix, lambda path, n=n: turned(path, n))  # type: ignore[misc]
        for n in range(1, 9)
        for suffix in (".jpg", ".png", ".tif", ".webp")
    },
    **{
        f"mode {mode}": (".png", lambda path, mode=mode: colours(mode).save(path))  # type: ignore[misc]
        for mode in ("1", "L", "LA", "P", "RGB", "RGBA")
    },
    "CMYK": (".jpg", lambda path: colours("CMYK").save(path)),
    "CMYK tiff": (".tif", lambda path: colours("CMYK").save(path)),
    "16 bits": (".png", lambda path: Image.fromarray(noise(9, 13, kind=np.uint16)).save(path)),
    "16 bits tiff": (".tif", lambda path: Image.fromarray(noise(9, 13, kind=np.uint16)).save(path)),
    "a palette with a hole": (".png", palette_with_a_hole),
    "half transparent": (".webp", lambda path: Image.fromarray(noise(9, 13, 4)).save(path)),
    "two pages": (".tif", two_pages),
    "a bitmap": (".bmp", lambda path: colours().save(path)),
}


@pytest.mark.parametrize("spec", [RGB, BGR, GRAY], ids=["RGB", "BGR", "GRAY"])
@pytest.mark.parametrize("odd", ODD)
def test_the_network_sees_what_it_would_see_on_the_server(
    odd: str, spec: ImageInput, tmp_path: Path
) -> None:
    suffix, write = ODD[odd]
    path = tmp_path / f"odd{suffix}"
    write(path)
    served = open_image(path.read_bytes(), spec, max_pixels=10_000).decode()
    height, width = served.size
    pixels = decoded(path, spec)
    assert pixels.shape == (height, width, spec.channels)
    assert size_of(path) == (height, width)
    assert isinstance(served, Picture)
    colours_of_theirs = served.pixels[..., ::-1] if spec.colour == "BGR" else served.pixels
    np.testing.assert_array_equal(pixels, colours_of_theirs)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("spec", [RGB, BGR, GRAY], ids=["RGB", "BGR", "GRAY"])
def test_pixels_are_scaled_as_the_card_says(spec: ImageInput, layout: str) -> None:
    pixels = noise(5, 7, spec.channels)
    made = prepared(pixels, spec.model_copy(update={"layout": layout}))
    planes = made[0] if layout == "NCHW" else made[0].transpose(2, 0, 1)
    assert made.dtype == np.float32
    assert len(made) == 1
    for channel, (mean, std) in enumerate(zip(spec.mean, spec.std, strict=True)):
        expected = (pixels[..., channel] * spec.scale - mean) / std
        np.testing.assert_allclose(planes[channel], expected, atol=1e-6)


def floating(path: Path) -> None:
    Image.fromarray(np.zeros((3, 3), np.float32)).save(path)


def cut_off(path: Path) -> None:
    colours().save(path)
    path.write_bytes(path.read_bytes()[:200])


REFUSED: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "floats": (".tif", floating, "32 bits a channel"),
    "cut off": (".png", cut_off, "truncated or corrupt"),
    "no picture": (".png", lambda path: path.write_bytes(b"hello"), "cannot be opened"),
    "empty": (".png", lambda path: path.write_bytes(b""), "cannot be opened"),
    "another format": (
        ".png",
        lambda path: colours().save(path, format="GIF"),
        "expected a PNG, JPEG",
    ),
}


@pytest.mark.parametrize("bad", REFUSED)
def test_what_the_server_refuses_is_refused_here_and_the_file_is_named(
    bad: str, tmp_path: Path
) -> None:
    suffix, write, reason = REFUSED[bad]
    path = tmp_path / f"bad{suffix}"
    write(path)
    with pytest.raises(InvalidRequest):
        open_image(path.read_bytes(), RGB, max_pixels=10_000).decode()
    with pytest.raises(BadPicture, match=reason) as told:
        decoded(path, RGB)
    assert str(path) in str(told.value)


def test_a_network_of_other_channels_takes_no_picture(tmp_path: Path) -> None:
    colours().save(tmp_path / "a.png")
    with pytest.raises(BadPicture, match="5 input channels"):
        decoded(tmp_path / "a.png", ImageInput(channels=5, mean=(0.0,) * 5, std=(1.0,) * 5))


def test_a_network_of_bytes_takes_the_pixels_as_they_are() -> None:
    pixels = noise(4, 6, 3)
    spec = ImageInput(dtype="uint8", layout="NHWC")
    np.testing.assert_array_equal(prepared(pixels, spec), pixels[None])
    spec = ImageInput(dtype="uint8")
    np.testing.assert_array_equal(prepared(pixels, spec), pixels.transpose(2, 0, 1)[None])


def test_preparing_leaves_the_pixels_as_they_are() -> None:
    pixels = noise(4, 6, 3)
    before = pixels.copy()
    prepared(pixels, RGB)
    assert (pixels == before).all()


def test_pictures_are_found_in_folders_below_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "below/c.tif", "notes.txt", "below/d.gif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.relative_to(tmp_path).as_posix() for path in pictures(tmp_path)] == [
        "a.JPG",
        "b.png",
        "below/c.tif",
    ]


def test_a_folder_without_pictures_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadPicture, match="holds no picture"):
        pictures(tmp_path)
    with pytest.raises(BadPicture, match="no folder of pictures"):
        pictures(tmp_path / "nowhere")
