"""Patience, and what happens when two jobs or a full disk meet."""

from __future__ import annotations

import errno
import io
import json
import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import grpc
import pytest
from PIL import Image
from tests.client.jobs.outputs import WIDTHS

from anyres_client.jobs.journal import Journal


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
    process = subprocess.Popen([sys.executable, "-m", "anyres_client.main", *words,
                                "--in-flight", "1"],
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
