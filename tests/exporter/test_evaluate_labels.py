"""Labels of every kind of file are the numbers that were written; anything else names its file."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from anyres_exporter.evaluate.errors import BadLabel
from anyres_exporter.evaluate.labels import class_map, numbers
from anyres_exporter.evaluate.pairs import folders, maps, rows

VOID = frozenset({255})
CLASSES = np.array([[0, 1, 2], [2, 255, 0]], np.uint8)
EXPECTED = [[0, 1, 2], [2, -1, 0]]


def png(grey: list[list[int]], bits: int) -> bytes:
    """A grey PNG of few bits a pixel, by the specification: Pillow writes none."""
    lines = b""
    for line in grey:
        row = "".join(f"{value:0{bits}b}" for value in line)
        row += "0" * (-len(row) % 8)
        lines += b"\0" + int(row, 2).to_bytes(len(row) // 8, "big")
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", len(grey[0]), len(grey), bits, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(lines)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def indexed(array: Any) -> Image.Image:
    image = Image.fromarray(array).convert("P")
    image.putdata(array.ravel().tolist())
    image.putpalette(list(range(256)) * 3)
    return image


@pytest.mark.parametrize(
    "name", ["grey.png", "palette.png", "deep.png", "grey.tif", "grey.bmp", "integers.npy"]
)
def test_class_numbers_are_read_as_they_were_written(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if name == "integers.npy":
        np.save(path, CLASSES.astype(np.int64))
    elif name == "palette.png":
        indexed(CLASSES).save(path)
    else:
        Image.fromarray(CLASSES.astype(np.uint16) if "deep" in name else CLASSES).save(path)
    assert class_map(path, (2, 3), 3, VOID).tolist() == EXPECTED


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_grey_of_few_bits_is_not_stretched_to_255(bits: int, tmp_path: Path) -> None:
    levels = [[0, 1, 2**bits - 1], [1, 0, 0]]
    (tmp_path / "few.png").write_bytes(png(levels, bits))
    assert class_map(tmp_path / "few.png", (2, 3), 16, VOID).tolist() == levels


def colour(path: Path) -> None:
    Image.new("RGB", (3, 2)).save(path)


def jpeg(path: Path) -> None:
    Image.fromarray(CLASSES).save(path, format="JPEG")


def fractions(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.zeros((2, 3)))


def pickled(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.array([[object()]]), allow_pickle=True)


@pytest.mark.parametrize(
    ("name", "write", "reason"),
    [
        ("a.png", colour, "picture of RGB colours"),
        ("a.png", jpeg, "no label that can be read"),
        ("a.png", lambda path: path.write_bytes(b"x"), "no label that can be read"),
        ("a.npy", fractions, "expected one whole number a pixel, got float64"),
        ("a.npy", pickled, "no label that can be read"),
        ("a.png", lambda path: Image.new("L", (4, 2)).save(path), r"is 4x2; its picture is 3x2"),
        ("a.png", lambda path: Image.new("L", (2, 3)).save(path), "turned on its side"),
        ("a.png", lambda path: Image.fromarray(CLASSES + 1).save(path), "has class 3 in 2 pixels"),
    ],
)
def test_a_label_that_cannot_be_used_is_named(
    name: str, write: Any, reason: str, tmp_path: Path
) -> None:
    write(tmp_path / name)
    with pytest.raises(BadLabel, match=reason) as told:
        class_map(tmp_path / name, (2, 3), 3, VOID)
    assert str(tmp_path / name) in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("suffix", [".npy", ".tif", ".png"])
def test_numbers_are_scaled_and_what_is_ignored_is_none(suffix: str, tmp_path: Path) -> None:
    stored = np.array([[0, 256, 512]], np.uint16 if suffix == ".png" else np.float32)
    path = tmp_path / f"depth{suffix}"
    if suffix == ".npy":
        np.save(path, stored)
    else:
        Image.fromarray(stored).save(path)
    found = numbers(path, (1, 3), 1, 1 / 256, frozenset({0}))
    np.testing.assert_array_equal(found, [[[np.nan, 1.0, 2.0]]])


def test_numbers_of_several_channels_come_first(tmp_path: Path) -> None:
    np.save(tmp_path / "flow.npy", np.arange(12.0).reshape(2, 2, 3))
    assert numbers(tmp_path / "flow.npy", (2, 3), 2, 1.0, frozenset()).shape == (2, 2, 3)
    with pytest.raises(BadLabel, match=r"expected numbers \(h, w\), got float64 \(2, 2, 3\)"):
        numbers(tmp_path / "flow.npy", (2, 3), 1, 1.0, frozenset())


def touched(folder: Path, *names: str) -> tuple[Path, ...]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return tuple(folder / name for name in names)


def test_a_map_has_the_name_of_its_picture_below_both_folders(tmp_path: Path) -> None:
    images, labels = tmp_path / "images", tmp_path / "labels"
    found = touched(images, "a.jpg", "sub/a.jpg", "b.png")
    ours = touched(labels, "sub/a.png", "a.tif", "c.png")
    paired = maps(found, images, labels)
    assert paired.pairs == ((found[0], ours[1]), (found[1], ours[0]))
    assert paired.unlabelled == (found[2],)
    assert paired.unused == 1


def test_two_labels_of_one_name_are_refused(tmp_path: Path) -> None:
    touched(tmp_path, "a.png", "a.tif")
    with pytest.raises(BadLabel, match="labels of one name"):
        maps((), tmp_path, tmp_path)


def test_a_table_names_pictures_with_or_without_suffix_and_may_have_a_heading(
    tmp_path: Path,
) -> None:
    found = touched(tmp_path / "images", "a.b.jpg", "c.jpg", "d.jpg")
    table = tmp_path / "labels.csv"
    table.write_text("\ufeffimage,class\na.b.jpg,cat\n\nc , dog\n", "utf-8")
    paired = rows(found, tmp_path / "images", table)
    assert paired.pairs == ((found[0], ("cat",)), (found[1], ("dog",)))
    assert paired.unlabelled == (found[2],)


@pytest.mark.parametrize(
    ("text", "reason"),
    [("a,cat\na,dog\n", "line 2: a has a label already"), ("a,1\nb\n", "line 2: expected")],
)
def test_a_table_that_cannot_be_used_names_its_line(text: str, reason: str, tmp_path: Path) -> None:
    found = touched(tmp_path / "images", "a.jpg")
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(BadLabel, match=reason):
        rows(found, tmp_path / "images", tmp_path / "labels.csv")


def test_a_picture_s_first_folder_is_its_class(tmp_path: Path) -> None:
    found = touched(tmp_path, "cat/1.jpg", "dog/old/2.jpg")
    assert folders(found, tmp_path).pairs == ((found[0], ("cat",)), (found[1], ("dog",)))
    with pytest.raises(BadLabel, match="lies in no folder of a class"):
        folders(touched(tmp_path, "3.jpg"), tmp_path)
