"""Batch jobs: whole files only, nothing twice, nothing lost, nothing outside the output."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image

from anyres_client.main import main

NUMBERS = ("1", "2", "3", "4", "5", "6")


@pytest.fixture
def folder(tmp_path: Path, pixels: Any) -> Path:
    """Six photos of different widths, in a folder and one below it."""
    (tmp_path / "photos" / "deep").mkdir(parents=True)
    for i, number in enumerate(NUMBERS):
        below = "deep" if i % 2 else ""
        path = tmp_path / "photos" / below / f"{number}.png"
        Image.fromarray(pixels[:, : 12 - i]).save(path)
    return tmp_path / "photos"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def batch(folder: Path, out: Path, fake: Any, capsys: pytest.CaptureFixture[str]) -> Any:
    """`batch("--overlay")`: exit code and stderr of a run over the photos."""

    def run(*options: str, model: str = "zones") -> tuple[int, str]:
        code = main(["batch", str(folder), "--out", str(out), "--model", model,
                     "--server", fake.address, *options])  # fmt: skip
        return code, capsys.readouterr().err

    return run


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_every_image_gets_a_class_map_in_mirrored_folders_and_a_line(
    batch: Any, folder: Path, out: Path
) -> None:
    code, told = batch()
    assert code == 0
    assert "6 predicted, 0 done before, 0 failed" in told
    assert files(out) == [
        *sorted(f"{name}.classes.png" for name in files(folder)),
        "failures.jsonl",
        "job.json",
        "results.jsonl",
    ]
    said = {line["file"]: line for line in lines(out)}
    assert sorted(said) == files(folder)
    assert said["deep/2.png"]["image_size"] == [6, 11]
    with Image.open(out / "deep/2.png.classes.png") as image:
        assert image.size == (11, 6)
        assert image.getpixel((10, 0)) == 2


@pytest.mark.parametrize("model", ["zones", "things"])
def test_overlays_come_along_when_asked_for(batch: Any, out: Path, model: str) -> None:
    assert batch("--overlay", model=model)[0] == 0
    with Image.open(out / "1.png.overlay.jpg") as image:
        assert image.width == 12


def test_a_rerun_does_nothing_again(batch: Any, fake: Any, out: Path) -> None:
    batch()
    before = sorted(line["file"] for line in lines(out))
    fake.requests.clear()
    code, told = batch()
    assert code == 0
    assert "0 predicted, 6 done before" in told
    assert not fake.requests
    assert sorted(line["file"] for line in lines(out)) == before


def changed_photo(folder: Path, out: Path, fake: Any) -> None:
    os.utime(folder / "1.png", ns=(0, 12345))


def lost_result(folder: Path, out: Path, fake: Any) -> None:
    (out / "1.png.classes.png").unlink()


def new_photo(folder: Path, out: Path, fake: Any) -> None:
    (folder / "7.png").write_bytes((folder / "1.png").read_bytes())


def torn_line(folder: Path, out: Path, fake: Any) -> None:
    journal = out / "results.jsonl"
    journal.write_bytes(journal.read_bytes()[:-20])


@pytest.mark.parametrize("change", [changed_photo, lost_result, new_photo, torn_line])
def test_a_rerun_does_what_is_no_longer_done(
    batch: Any, fake: Any, folder: Path, out: Path, change: Any
) -> None:
    batch()
    change(folder, out, fake)
    fake.requests.clear()
    assert batch()[0] == 0
    assert len(fake.requests) == 1
    assert sorted(line["file"] for line in lines(out)) == files(folder)


@pytest.mark.parametrize(
    ("options", "model", "versions"),
    [(["--overlay"], "zones", ("1",)), ([], "things", ("1",)), ([], "zones", ("1", "2"))],
    ids=["options", "model", "version"],
)
def test_another_model_version_or_option_is_refused_or_starts_over(
    batch: Any, fake: Any, out: Path, options: list[str], model: str, versions: tuple[str, ...]
) -> None:
    batch()
    before = (out / "results.jsonl").read_bytes()
    fake.versions = versions
    fake.requests.clear()
    code, told = batch(*options, model=model)
    assert code == 2
    assert "holds another job's results" in told
    assert "--restart" in told
    assert not fake.requests
    assert (out / "results.jsonl").read_bytes() == before
    assert batch(*options, "--restart", model=model)[0] == 0
    assert len(fake.requests) == 6
    assert {request.model_version for request in fake.requests} == {versions[-1]}


def test_a_bad_file_is_reported_skipped_and_tried_again(
    batch: Any, fake: Any, folder: Path, out: Path
) -> None:
    (folder / "bad.jpg").write_bytes(b"\xff\xd8 torn")
    for left in (7, 1):
        fake.requests.clear()
        code, told = batch()
        assert code == 1
        assert len(fake.requests) == left
        assert "bad.jpg: skipped: the image is no PNG or JPEG file" in told
    assert "0 predicted, 6 done before, 1 failed" in told
    assert len(lines(out)) == 6


def test_names_that_differ_by_their_suffix_do_not_clash(
    batch: Any, folder: Path, out: Path, pixels: Any
) -> None:
    Image.fromarray(pixels[:3]).save(folder / "1.bmp")
    batch()
    for suffix, height in (("png", 6), ("bmp", 3)):
        with Image.open(out / f"1.{suffix}.classes.png") as image:
            assert image.height == height


def test_no_more_requests_are_under_way_than_allowed(batch: Any, fake: Any) -> None:
    lock, together = threading.Lock(), threading.Barrier(2)
    under_way: list[int] = [0]
    most = 0

    def count(_: Any, context: grpc.ServicerContext) -> None:
        nonlocal most
        with lock:
            under_way[0] += 1
            most = max(most, under_way[0])
        together.wait(10)
        with lock:
            under_way[0] -= 1

    fake.refuse = count
    assert batch("--in-flight", "2")[0] == 0
    assert most == 2


def test_results_inside_the_images_folder_are_not_read_back(
    folder: Path, fake: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["batch", str(folder), "--out", str(folder / "out"), "--model", "zones"]
    for _ in range(2):
        assert main([*words, "--server", fake.address]) == 0
    assert len(fake.requests) == 6


def test_images_inside_the_output_are_refused(
    folder: Path, fake: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["batch", str(folder), "--out", str(folder.parent), "--model", "zones"]
    assert main([*words, "--server", fake.address]) == 2
    assert "need a folder of their own" in capsys.readouterr().err
    assert not fake.requests


def test_links_that_go_in_circles_or_nowhere_do_no_harm(batch: Any, folder: Path) -> None:
    (folder / "deep" / "round").symlink_to(folder, target_is_directory=True)
    (folder / "self.png").symlink_to(folder / "self.png")
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    code, told = batch()
    assert code == 1
    assert "6 predicted, 0 done before, 2 failed" in told


@pytest.mark.parametrize("source", ["empty", "photos/*.gif"])
def test_a_source_without_any_image_is_no_success(
    tmp_path: Path, folder: Path, fake: Any, capsys: Any, source: str
) -> None:
    (tmp_path / "empty").mkdir()
    words = ["batch", f"{tmp_path}/{source}", "--out", f"{tmp_path}/out", "--server", fake.address]
    assert main([*words, "--model", "zones"]) == 2
    assert capsys.readouterr().err == f"anyres batch: there is no image in {tmp_path}/{source}\n"


def test_an_output_that_is_a_file_is_one_clear_line(batch: Any, out: Path) -> None:
    out.write_text("in the way")
    code, told = batch()
    assert code == 2
    assert told == (
        f"anyres batch: cannot write to {out}: it is a file, and results need a folder\n"
    )


def test_a_server_that_is_not_there_leaves_nothing_behind(
    folder: Path, out: Path, free_address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["batch", str(folder), "--out", str(out), "--model", "zones", "--server", free_address]
    assert main(words) == 2
    assert capsys.readouterr().err == f"anyres batch: no server answers ({free_address})\n"
    assert not out.exists()


def test_a_server_that_goes_away_ends_the_job_and_keeps_what_is_done(
    batch: Any, fake: Any, out: Path
) -> None:
    def leave(_: Any, context: grpc.ServicerContext) -> None:
        if len(fake.requests) > 3:
            context.abort(grpc.StatusCode.UNAVAILABLE, "the server is shutting down")

    fake.refuse = leave
    code, told = batch("--in-flight", "1", "--patience", "0")
    assert code == 2
    assert told == f"anyres batch: the server is shutting down ({fake.address})\n"
    assert len(lines(out)) == 3
    fake.refuse = lambda *_: None
    code, told = batch()
    assert code == 0
    assert "3 predicted, 3 done before" in told


def test_kill_9_at_any_moment_leaves_whole_files_and_a_rerun_finishes(
    batch: Any, fake: Any, folder: Path, out: Path
) -> None:
    fourth, left = threading.Event(), threading.Event()

    def hold_the_fourth(_: Any, context: grpc.ServicerContext) -> None:
        if len(fake.requests) > 3:
            context.add_callback(left.set)
            fourth.set()
            left.wait(10)

    fake.refuse = hold_the_fourth
    process = subprocess.Popen(
        [sys.executable, "-m", "anyres_client.main", "batch", folder, "--out", out, "--model",
         "zones", "--server", fake.address, "--in-flight", "1"],
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert fourth.wait(20)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert left.wait(10)
    assert len(lines(out)) == 3
    for line in lines(out):
        with Image.open(out / line["results"][0]) as image:
            assert np.asarray(image).shape == tuple(line["grid_size"])
    fake.refuse = lambda *_: None
    fake.requests.clear()
    assert batch()[0] == 0
    assert len(fake.requests) == 3
    assert sorted(line["file"] for line in lines(out)) == files(folder)


def test_a_kill_between_result_and_line_costs_that_image_only(
    batch: Any, fake: Any, out: Path
) -> None:
    batch()
    kept = (out / "results.jsonl").read_text().splitlines(keepends=True)[:-1]
    (out / "results.jsonl").write_text("".join(kept))
    (out / ".anyres-0123.png").write_bytes(b"half")
    fake.requests.clear()
    assert batch()[0] == 0
    assert len(fake.requests) == 1


def test_a_result_that_cannot_be_written_is_reported_and_skipped(batch: Any, out: Path) -> None:
    (out / "1.png.classes.png" / "in the way").mkdir(parents=True)
    code, told = batch()
    assert code == 1
    assert f"1.png: skipped: cannot write {out}/1.png" in told
    assert len(lines(out)) == 5
