"""`anyres convolutionalize`: what it writes, what it prints, and how it refuses."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image
from tests.exporter.convolutionalize_graphs import (
    CELLS,
    CHANNELS,
    classifier_of,
    far,
    picture,
    slid,
)

from anyres_client.main import main
from anyres_exporter.runtime import Runtime
from anyres_proto.card import METADATA_KEY, Card

Told = tuple[int, str, str]
FLAT = "flat = Flatten (map) logits = MatMul (flat, w1) out = Softmax <axis=1> (logits)"
AVERAGED = "p = GlobalAveragePool (map) flat = Flatten (p) out = MatMul (flat, w1)"


@pytest.fixture
def anyres(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Told]:
    """Exit code, stdout, stderr."""
    monkeypatch.setenv("COLUMNS", "400")

    def run(*words: object) -> Told:
        code = main(list(map(str, words)))
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "classifier.onnx"
    onnx.save(classifier_of(FLAT, {"w1": (CELLS, 5)}), path)
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two pictures that hold patches, one that is too small, and a note."""
    folder = tmp_path / "photos"
    folder.mkdir()
    random = np.random.default_rng(0)
    for name, size in {"a": (40, 30, 3), "b": (21, 50, 3), "small": (9, 90, 3)}.items():
        pixels = random.integers(0, 256, size, np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.png")
    (folder / "note.txt").write_text("no picture")
    return folder


def card_in(path: Path) -> Card:
    (entry,) = onnx.load(path).metadata_props
    assert entry.key == METADATA_KEY
    return Card.model_validate_json(entry.value)


def test_the_file_that_is_written_answers_for_every_patch_and_its_card_is_complete(
    anyres: Callable[..., Told], model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "deep/fcn.onnx"
    code, told, complaint = anyres("convolutionalize", model, "-o", out)
    assert (code, complaint) == (0, "")
    image = picture(19, 21)
    assert far(slid(onnx.load(model), image), Runtime(out)(image)["out"]) < 1e-5
    card = card_in(out)
    assert (card.name, card.task, card.output.meaning) == ("fcn", "classification", "probabilities")
    assert (card.sizes.height.verdict, card.sizes.height.minimum) == ("free", 11)
    assert (card.output.dense, card.output.channels) == (True, 5)
    assert card.output.stride == (Fraction(2), Fraction(2))
    record = card.conversion
    assert record is not None
    assert record.source == hashlib.sha256(model.read_bytes()).hexdigest()
    assert (record.trained, record.window) == ((13, 11), (6, 5))
    assert (record.pool, record.upsample) == ("keep", "none")
    (proof,) = card.proofs
    assert (proof.height, proof.width, proof.max_rel_error) == (11, 13, record.max_rel_error)
    assert 0 < record.max_rel_error < 1e-5
    assert record.patches.max_rel_difference < 1e-5
    assert (record.patches.photographs, record.patches.reasons) == (False, ())
    assert (
        "an answer for every patch, 2 pixels apart: width at least 13, height at least 11" in told
    )
    assert "at 13x11 it is the classifier, within" in told
    assert "on 13x11 patches of 2 images of seeded noise" in told
    assert "the class is the same on 100.0% of 64 patches, taken evenly of 128" in told
    assert "reason" not in told


def test_photographs_of_a_folder_are_used_and_those_too_small_for_a_patch_left_out(
    anyres: Callable[..., Told], model: Path, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "fcn.onnx"
    code, told, _ = anyres("convolutionalize", model, "-o", out, "--images", photos)
    assert code == 0
    assert "patches of 2 photographs" in told
    assert "no card, so the photographs were prepared as is usual" in told
    record = card_in(out).conversion
    assert record is not None
    assert (record.patches.images, record.patches.photographs) == (2, True)


def test_of_a_large_folder_sixteen_photographs_are_enough(
    anyres: Callable[..., Told], model: Path, photos: Path, tmp_path: Path
) -> None:
    for number in range(17):
        Image.new("RGB", (15, 13), (9 * number, 90, 30)).save(photos / f"c{number}.png")
    code, told, _ = anyres("convolutionalize", model, "-o", tmp_path / "f.onnx", "--images", photos)
    assert code == 0
    assert "patches of 16 photographs" in told


def test_what_the_classifiers_card_says_of_its_input_and_classes_is_kept(
    anyres: Callable[..., Told], model: Path, photos: Path, tmp_path: Path
) -> None:
    classes = tmp_path / "classes.txt"
    classes.write_text("cat\ndog\nhorse\nowl\nbee")
    said = ("--mean", "0.5,0.4,0.3", "--std", "0.2,0.2,0.2", "--colour", "BGR")
    anyres("card", "stamp", model, "--classes", classes, "--task", "classification", *said)
    out = tmp_path / "fcn.onnx"
    code, told, _ = anyres("convolutionalize", model, "-o", out, "--images", photos)
    assert code == 0
    card = card_in(out)
    assert [own.name for own in card.classes] == ["cat", "dog", "horse", "owl", "bee"]
    assert (card.input.colour, card.input.mean) == ("BGR", (0.5, 0.4, 0.3))
    assert card.name == "fcn"
    assert "assumed" not in card.provenance
    assert "no card" not in told


def test_a_dropped_pool_and_answers_for_every_pixel(
    anyres: Callable[..., Told], tmp_path: Path
) -> None:
    model, out = tmp_path / "average.onnx", tmp_path / "fcn.onnx"
    onnx.save(classifier_of(AVERAGED, {"w1": (CHANNELS, 5)}), model)
    words = ("--pool", "drop", "--upsample", "bilinear")
    code, told, _ = anyres("convolutionalize", model, "-o", out, *words)
    assert code == 0
    assert "an answer for every pixel: width at least 3, height at least 3" in told
    assert "at 13x11 the mean of 6x5 cells is the classifier's answer, within" in told
    card = card_in(out)
    assert card.conversion is not None
    assert (card.conversion.pool, card.conversion.upsample) == ("drop", "bilinear")
    assert card.proofs == ()
    assert card.output.stride == (Fraction(1), Fraction(1))
    assert card.output.offset == (Fraction(0), Fraction(0))
    assert Runtime(out)(picture(17, 23))["out"].shape == (1, 5, 17, 23)


def test_open_axes_take_the_trained_size_as_an_option(
    anyres: Callable[..., Told], tmp_path: Path
) -> None:
    model, out = tmp_path / "open.onnx", tmp_path / "fcn.onnx"
    text = classifier_of(FLAT, {"w1": (CELLS, 5)}, image="float[N,3,H,W] image")
    onnx.save(text, model)
    code, _, complaint = anyres("convolutionalize", model, "-o", out)
    assert code == 2
    assert "give it as --size WxH" in complaint
    assert not out.exists()
    assert anyres("convolutionalize", model, "-o", out, "--size", "13x11")[0] == 0


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("-o", "fcn.pt"), "no name for a model"),
        (("-o", ".onnx"), "no name for a model"),
        (("-o", "fcn.onnx", "--size", "13"), "WIDTHxHEIGHT"),
        (("-o", "fcn.onnx", "--size", "11x13"), "H is 11 in the file, and 13 was given"),
        (("-o", "fcn.onnx", "--images", "nowhere"), "nowhere"),
        (("-o", "fcn.onnx", "--pool", "max"), "--pool"),
    ],
    ids=str,
)
def test_a_mistake_is_told_in_one_line_and_nothing_is_written(
    words: tuple[str, ...],
    complaint: str,
    anyres: Callable[..., Told],
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, told = anyres("convolutionalize", model, *words)
    assert code == 2
    assert complaint in told
    assert told.count("\n") == 1
    assert [path.name for path in tmp_path.glob("*.onnx")] == ["classifier.onnx"]


def test_pictures_that_are_all_too_small_are_told(
    anyres: Callable[..., Told], model: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    Image.new("RGB", (12, 11)).save(folder / "small.png")
    code, _, told = anyres("convolutionalize", model, "-o", tmp_path / "f.onnx", "--images", folder)
    assert code == 2
    assert "no picture in" in told
    assert "13x11, one patch" in told


def test_what_is_no_model_or_no_classifier_is_told(
    anyres: Callable[..., Told], tmp_path: Path
) -> None:
    (tmp_path / "text.onnx").write_text("hello")
    onnx.save(classifier_of("out = Flatten (map)", {}), tmp_path / "flat.onnx")
    for name, complaint in {
        "missing": "No such file",
        "text": "cannot be read as ONNX",
        "flat": "the last map laid flat",
    }.items():
        code, _, told = anyres(
            "convolutionalize", tmp_path / f"{name}.onnx", "-o", tmp_path / "fcn.onnx"
        )
        assert code == 2
        assert complaint in told
        assert told.count("\n") == 1
