"""`--labels`: every image counts once, however often it was done."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image
from tests.client.jobs.outputs import WIDTHS

from anyres_client.main import main


@pytest.fixture
def labels(tmp_path: Path, photos: Path) -> Path:
    """The truth: as predicted, but that 5.png's first column is class 1, and its last ignored."""
    folder = tmp_path / "labels"
    folder.mkdir()
    for width in WIDTHS:
        true = np.tile(np.arange(width, dtype=np.uint8) % 3, (4, 1))
        if width == 5:
            true[:, 0], true[:, -1] = 1, 255
        Image.fromarray(true).save(folder / f"{width}.png")
    return folder


def confusion(photos: Path, labels: Path) -> np.ndarray[Any, Any]:
    cells = np.zeros((3, 3))
    for width in WIDTHS:
        true = np.asarray(Image.open(labels / f"{width}.png"))
        found = np.tile(np.arange(width) % 3, (4, 1))
        for t, f in zip(true.ravel(), found.ravel(), strict=True):
            if t != 255:
                cells[t, f] += 1
    return cells


def test_labels_add_the_mean_iou_also_over_several_runs(
    batch: Any, photos: Path, labels: Path, fake: Any
) -> None:
    fake.refuse = lambda _, context: (
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no") if len(fake.requests) > 3 else None
    )
    batch("--labels", labels)
    fake.refuse = lambda *_: None
    code, told = batch("--labels", labels)
    cells = confusion(photos, labels)
    iou = (cells.diagonal() / (cells.sum(0) + cells.sum(1) - cells.diagonal())).mean()
    accuracy = cells.trace() / cells.sum()
    assert code == 0
    assert told.splitlines()[-1] == f"mean IoU {iou:.2%}, pixel accuracy {accuracy:.2%}"


def test_an_image_without_a_label_has_failed_and_nobody_is_asked_about_it(
    batch: Any, labels: Path, fake: Any
) -> None:
    there = len(list(labels.iterdir()))
    (labels / "7.png").unlink()
    code, told = batch("--labels", labels)
    assert (code, len(fake.requests)) == (1, there - 1)
    assert f"7.png: skipped: it has no label {labels}/7.png" in told


def test_a_label_of_another_size_is_a_failure(batch: Any, labels: Path) -> None:
    Image.new("L", (3, 3)).save(labels / "7.png")
    code, told = batch("--labels", labels)
    assert code == 1
    assert "7.png: skipped: its label is 3x3, the image 7x4" in told


def test_the_summary_may_be_json(
    words: list[str], labels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--labels", str(labels), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["done"], said["skipped"], said["failed"]) == (7, 0, 0)
    assert 0.9 < said["scores"]["mean_iou"] < 1


def told_of(photos: Path, labels: Path) -> str:
    """The last line of a job over all photos that are there."""
    cells = confusion(photos, labels)
    with np.errstate(invalid="ignore"):
        iou = np.nanmean(cells.diagonal() / (cells.sum(0) + cells.sum(1) - cells.diagonal()))
    return f"mean IoU {iou:.2%}, pixel accuracy {cells.trace() / cells.sum():.2%}"


@pytest.mark.parametrize("kind", ["folder", "tar"])
def test_an_image_that_is_done_again_counts_once_and_is_not_done_before(
    batch: Any, photos: Path, labels: Path, kind: str
) -> None:
    batch("--labels", labels, "--as", kind)
    for stamp in (12345, 54321):
        os.utime(photos / "5.png", ns=(0, stamp))
        code, told = batch("--labels", labels, "--as", kind)
        assert code == 0
        summary, score = told.splitlines()
        assert summary.startswith("1 predicted, 6 done before, 0 failed")
        assert score == told_of(photos, labels)


def test_an_image_that_has_changed_and_fails_counts_no_more(
    batch: Any, photos: Path, labels: Path, fake: Any
) -> None:
    batch("--labels", labels)
    os.utime(photos / "5.png", ns=(0, 12345))
    fake.refuse = lambda _, context: context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no")
    code, told = batch("--labels", labels)
    assert code == 1
    assert "0 predicted, 6 done before, 1 failed" in told
    assert told.splitlines()[-1] == "mean IoU 100.00%, pixel accuracy 100.00%"


def test_an_image_that_is_gone_counts_no_more(batch: Any, photos: Path, labels: Path) -> None:
    batch("--labels", labels)
    (photos / "5.png").unlink()
    code, told = batch("--labels", labels)
    assert code == 0
    assert told.splitlines()[0].startswith("0 predicted, 6 done before, 0 failed")
    assert told.splitlines()[1] == "mean IoU 100.00%, pixel accuracy 100.00%"
