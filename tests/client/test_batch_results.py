"""Shards, scores, patience, and what happens when two jobs or a full disk meet."""

from __future__ import annotations

import errno
import io
import json
import os
import resource
import signal
import subprocess
import sys
import tarfile
import threading
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image

from anyres_client.jobs.journal import Journal
from anyres_client.main import main

WIDTHS = range(5, 12)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Seven photos; the red of 5.png's columns is 0, 128, 255, 0, 128: classes 0, 1, 2, 0, 1."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for width in WIDTHS:
        pixels = np.zeros((4, width, 3), np.uint8)
        pixels[:, :, 0] = np.array([0, 128, 255])[np.arange(width) % 3]
        Image.fromarray(pixels).save(folder / f"{width}.png")
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def words(photos: Path, out: Path, fake: Any) -> list[str]:
    return ["batch", str(photos), "--out", str(out), "--model", "zones", "--server", fake.address]


@pytest.fixture
def batch(words: list[str], capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*options: object) -> tuple[int, str]:
        code = main([*words, *map(str, options)])
        return code, capsys.readouterr().err

    return run


def in_tars(out: Path) -> dict[str, bytes]:
    """Every member of every shard; none may be there twice."""
    found: dict[str, bytes] = {}
    for path in sorted(out.glob("*.tar")):
        with tarfile.open(path) as archive:
            for member in archive:
                file = archive.extractfile(member)
                assert file is not None
                assert member.name not in found
                found[member.name] = file.read()
    return found


def expected_in_tars(photos: Path) -> list[str]:
    names = [path.name for path in photos.iterdir()]
    return sorted(f"{name}.{suffix}" for name in names for suffix in ("classes.png", "json"))


def test_shards_are_tar_files_with_a_class_map_and_a_line_an_image(
    batch: Any, photos: Path, out: Path
) -> None:
    assert batch("--as", "tar", "--shard-size", 3)[0] == 0
    assert [path.name for path in sorted(out.glob("*.tar"))] == [
        *("000000.tar", "000001.tar", "000002.tar")
    ]
    found = in_tars(out)
    assert sorted(found) == expected_in_tars(photos)
    with Image.open(io.BytesIO(found["5.png.classes.png"])) as image:
        assert np.asarray(image)[0].tolist() == [0, 1, 2, 0, 1]
    assert json.loads(found["5.png.json"])["image_size"] == [4, 5]


@pytest.mark.parametrize("after", [1, 2, 3, 4, 6])
def test_kill_9_in_the_middle_of_shards_loses_nothing_and_doubles_nothing(
    batch: Any, words: list[str], fake: Any, photos: Path, out: Path, after: int
) -> None:
    reached, left = threading.Event(), threading.Event()

    def hold(_: Any, context: grpc.ServicerContext) -> None:
        if len(fake.requests) > after:
            context.add_callback(left.set)
            reached.set()
            left.wait(10)

    fake.refuse = hold
    options = ["--as", "tar", "--shard-size", "2", "--in-flight", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "anyres_client.main", *words, *options], stderr=subprocess.DEVNULL
    )
    assert reached.wait(20)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert left.wait(10)
    last = sorted(out.glob("*.tar"))[-1]
    with last.open("ab") as file:
        file.write(b"what a kill may leave behind the last line")
    fake.refuse = lambda *_: None
    fake.requests.clear()
    assert batch(*options)[0] == 0
    assert len(fake.requests) == len(WIDTHS) - after
    assert sorted(in_tars(out)) == expected_in_tars(photos)


def test_shards_may_be_tables(batch: Any, photos: Path, out: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    assert batch("--as", "parquet", "--shard-size", 3)[0] == 0
    tables = [parquet.read_table(path) for path in sorted(out.glob("*.parquet"))]
    assert [len(table) for table in tables] == [3, 3, 1]
    rows = {row["path"]: row for table in tables for row in table.to_pylist()}
    assert sorted(rows) == sorted(path.name for path in photos.iterdir())
    with Image.open(io.BytesIO(rows["5.png"]["classes.png"])) as image:
        assert np.asarray(image)[0].tolist() == [0, 1, 2, 0, 1]


def test_a_server_that_goes_away_for_a_while_costs_nothing(batch: Any, fake: Any) -> None:
    def away(_: Any, context: grpc.ServicerContext) -> None:
        if 2 < len(fake.requests) < 12:
            context.abort(grpc.StatusCode.UNAVAILABLE, "restarting")

    fake.refuse = away
    code, told = batch("--patience", 60)
    assert (code, "7 predicted, 0 done before, 0 failed" in told) == (0, True)


def test_a_busy_server_is_asked_again_and_in_the_end_the_image_has_failed(
    batch: Any, fake: Any, out: Path
) -> None:
    tries: dict[int, int] = {}

    def busy(request: Any, context: grpc.ServicerContext) -> None:
        width = Image.open(io.BytesIO(request.image.encoded)).width
        tries[width] = tries.get(width, 0) + 1
        if width == 5 or (width == 6 and tries[width] < 3):
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "the queue is full")

    fake.refuse = busy
    assert batch("--attempts", 3)[0] == 1
    assert (tries[5], tries[6], tries[7]) == (3, 3, 1)
    (failure,) = map(json.loads, (out / "failures.jsonl").read_text().splitlines())
    assert (failure["file"], failure["error"]) == ("5.png", "Overloaded")


def test_what_is_wrong_with_an_image_is_not_tried_twice(batch: Any, fake: Any) -> None:
    fake.refuse = lambda _, context: context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no")
    assert batch()[0] == 1
    assert len(fake.requests) == len(WIDTHS)


def test_failures_that_are_none_any_more_are_forgotten(batch: Any, fake: Any, out: Path) -> None:
    fake.refuse = lambda _, context: context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no")
    batch()
    assert len((out / "failures.jsonl").read_text().splitlines()) == len(WIDTHS)
    fake.refuse = lambda *_: None
    assert batch()[0] == 0
    assert (out / "failures.jsonl").read_text() == ""


def test_two_jobs_do_not_share_a_folder(batch: Any, words: list[str], fake: Any, out: Path) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def hold(*_: Any) -> None:
        reached.set()
        go_on.wait(10)

    fake.refuse = hold
    process = subprocess.Popen([sys.executable, "-m", "anyres_client.main", *words],
                               stderr=subprocess.DEVNULL)  # fmt: skip
    assert reached.wait(20)
    code, told = batch()
    go_on.set()
    assert (code, told) == (2, f"anyres batch: another job is writing to {out}\n")
    assert process.wait(20) == 0


def test_a_full_disk_ends_the_job_and_keeps_what_is_done(
    batch: Any, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit on a file's size stands for the disk: the kernel says no in the same place."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    monkeypatch.setattr("anyres_client.jobs.running.FATAL", {errno.EFBIG})
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1500, before[1]))
        code, told = batch("--in-flight", 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, old)
    assert code == 2
    assert told.startswith("anyres batch: cannot write ")
    assert told.count("\n") == 1
    code, told = batch()
    assert code == 0
    assert "0 failed" in told


def test_an_output_that_may_not_be_written_is_one_line(batch: Any, out: Path, fake: Any) -> None:
    if os.getuid() == 0:
        pytest.skip("root may write anywhere")
    out.mkdir(mode=0o500)
    code, told = batch()
    assert (code, told) == (2, f"anyres batch: cannot write {out}: Permission denied\n")


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


def test_an_image_without_a_label_has_failed(batch: Any, labels: Path, out: Path) -> None:
    (labels / "7.png").unlink()
    code, told = batch("--labels", labels)
    assert code == 1
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


def test_a_journal_that_finds_no_room_keeps_whole_lines_only(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "results.jsonl")
    journal.open(lambda line: True)
    journal.append({"file": "a"})
    before, old = resource.getrlimit(resource.RLIMIT_FSIZE), signal.getsignal(signal.SIGXFSZ)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30, before[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            journal.append({"file": "a name that does not fit any more"})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, old)
    journal.append({"file": "b"})
    again = Journal(tmp_path / "results.jsonl")
    again.open(lambda line: True)
    assert [line["file"] for line in again.lines()] == ["a", "b"]


def test_a_link_in_the_results_leads_nowhere_else(
    photos: Path, out: Path, tmp_path: Path, batch: Any
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    out.mkdir()
    (out / "deep").symlink_to(elsewhere)
    (photos / "deep").mkdir()
    (photos / f"{WIDTHS[0]}.png").rename(photos / "deep" / "a.png")
    code, told = batch()
    assert code == 1
    assert "is a link that leads out of the results" in told
    assert not list(elsewhere.iterdir())


def test_who_is_killed_while_he_forgets_leaves_nothing_that_counts(
    photos: Path, out: Path, batch: Any, monkeypatch: Any
) -> None:
    batch()

    class Killed(BaseException):
        pass

    def killed(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("anyres_client.jobs.running._forget", killed)
        with pytest.raises(BaseException):  # noqa: B017, PT011 - a kill is no error
            batch("--restart", "--overlay")
    _, told = batch("--overlay")
    assert f"{len(WIDTHS)} predicted" in told
