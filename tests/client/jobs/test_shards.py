"""Shards of either kind: what is in them, what a kill or a full disk does to them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.client.jobs.outputs import WIDTHS, classes, lines, names, outputs

from anyres_client.jobs.journal import Journal
from anyres_client.jobs.shards import PARQUET, TAR, Kind, Shards

EITHER = pytest.mark.parametrize("kind", ["tar", "parquet"])


@EITHER
def test_shards_hold_a_class_map_and_a_line_an_image(
    batch: Any, photos: Path, out: Path, kind: str
) -> None:
    assert batch("--as", kind, "--shard-size", 3)[0] == 0
    assert sorted(path.name for path in out.iterdir()) == [
        *(f"{number:06d}.{kind}" for number in range(3)),
        *("failures.jsonl", "job.json", "results.jsonl"),
    ]
    found = outputs(out, kind)
    assert sorted(found) == names(kind, photos)
    assert classes(found["5.png.classes.png"]) == [0, 1, 2, 0, 1]
    assert json.loads(found["5.png.json"])["image_size"] == [4, 5]


def test_a_table_has_the_rows_of_its_shard(batch: Any, out: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    assert batch("--as", "parquet", "--shard-size", 3, "--overlay")[0] == 0
    tables = [parquet.read_table(path) for path in sorted(out.glob("*.parquet"))]
    assert [len(table) for table in tables] == [3, 3, 1]
    assert tables[0].column_names == ["path", "classes.png", "overlay.jpg", "about"]
    told = {line["file"]: line["shard"] for line in lines(out)}
    for number, table in enumerate(tables):
        assert {told[path] for path in table["path"].to_pylist()} == {f"{number:06d}.parquet"}


@EITHER
@pytest.mark.parametrize("after", [1, 2, 3, 6])
def test_kill_9_in_the_middle_of_shards_loses_nothing_and_doubles_nothing(
    batch: Any, words: list[str], fake: Any, photos: Path, out: Path, after: int, kind: str
) -> None:
    reached, left = threading.Event(), threading.Event()

    def hold(_: Any, context: grpc.ServicerContext) -> None:
        if len(fake.requests) > after:
            context.add_callback(left.set)
            reached.set()
            left.wait(10)

    fake.refuse = hold
    options = ["--as", kind, "--shard-size", "2", "--in-flight", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "anyres_client.main", *words, *options], stderr=subprocess.DEVNULL
    )
    assert reached.wait(20)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert left.wait(10)
    growing = sorted(out.glob("*.part" if kind == "parquet" else "*.tar"))[-1]
    with growing.open("ab") as file:
        file.write(b"what a kill may leave behind the last line")
    fake.refuse = lambda *_: None
    fake.requests.clear()
    assert batch(*options)[0] == 0
    assert len(fake.requests) == len(WIDTHS) - after
    assert sorted(outputs(out, kind)) == names(kind, photos)
    assert not list(out.glob("*.part"))


@EITHER
def test_an_image_that_is_done_is_safe_though_its_shard_is_not_full(
    batch: Any, fake: Any, photos: Path, out: Path, kind: str
) -> None:
    """Where the server goes away the job ends, as by a kill, in the middle of a shard."""

    def leave(_: Any, context: grpc.ServicerContext) -> None:
        if len(fake.requests) > 4:
            context.abort(grpc.StatusCode.UNAVAILABLE, "gone")

    fake.refuse = leave
    assert batch("--as", kind, "--in-flight", 1, "--patience", 0)[0] == 2
    assert len(lines(out)) == 4
    fake.refuse = lambda *_: None
    code, told = batch("--as", kind)
    assert code == 0
    assert "3 predicted, 4 done before, 0 failed" in told
    assert sorted(outputs(out, kind)) == names(kind, photos)


@contextmanager
def room(size: int) -> Iterator[None]:
    """Files may be so long: the kernel says no in the same place as where a disk is full."""
    resource = pytest.importorskip("resource")
    before, old = resource.getrlimit(resource.RLIMIT_FSIZE), signal.getsignal(signal.SIGXFSZ)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, old)


def shards(out: Path, kind: Kind) -> Shards:
    """A sink that goes on after whatever is there."""
    journal = Journal(out / "results.jsonl")
    sink = Shards(kind, out, journal, 10)
    journal.open(sink.holds, sink.drop)
    return sink


BOTH = pytest.mark.parametrize("kind", [TAR, PARQUET], ids=["tar", "parquet"])
FILES = {"classes.png": b"x" * 700}


@BOTH
@pytest.mark.parametrize("size", [2048, 2100, 3000, 4000])
def test_a_result_that_finds_no_room_is_not_there_and_harms_no_other(
    tmp_path: Path, kind: Kind, size: int
) -> None:
    sink = shards(tmp_path, kind)
    sink.add({"file": "a.png"}, FILES)
    with room(size), pytest.raises(OSError, match="too large"):
        sink.add({"file": "b.png"}, FILES)
    sink.add({"file": "c.png"}, FILES)
    sink.close()
    again = shards(tmp_path, kind)
    again.add({"file": "b.png"}, FILES)
    again.close()
    found = outputs(tmp_path, kind.suffix[1:])
    assert sorted(found) == [f"{n}.png.{s}" for n in "abc" for s in ("classes.png", "json")]
    assert found["b.png.classes.png"] == FILES["classes.png"]


@BOTH
def test_a_result_whose_line_cannot_be_written_is_not_done(tmp_path: Path, kind: Kind) -> None:
    sink = shards(tmp_path, kind)
    sink.add({"file": "a.png"}, FILES)
    journal, aside = tmp_path / "results.jsonl", tmp_path / "aside"
    journal.rename(aside)
    journal.mkdir()
    with pytest.raises(IsADirectoryError):
        sink.add({"file": "b.png"}, FILES)
    journal.rmdir()
    aside.rename(journal)
    sink.add({"file": "c.png"}, FILES)
    sink.close()
    assert sorted(outputs(tmp_path, kind.suffix[1:])) == [
        f"{n}.png.{s}" for n in "ac" for s in ("classes.png", "json")
    ]


def test_a_tar_file_that_cannot_be_ended_is_one_line_and_the_job_goes_on(
    batch: Any, photos: Path, out: Path
) -> None:
    batch("--as", "tar", "--in-flight", 1)
    whole = (out / "000000.tar").stat().st_size
    with room(whole - 512):
        code, told = batch("--as", "tar", "--in-flight", 1, "--restart")
    assert (code, told) == (2, f"anyres batch: cannot write {out}: File too large\n")
    code, told = batch("--as", "tar")
    assert code == 0
    assert "0 predicted, 7 done before" in told
    assert sorted(outputs(out, "tar")) == names("tar", photos)


def test_a_table_that_cannot_be_written_is_one_line_and_the_job_goes_on(
    batch: Any, photos: Path, out: Path
) -> None:
    (out / "000000.parquet").mkdir(parents=True)
    code, told = batch("--as", "parquet")
    assert (code, told) == (2, f"anyres batch: cannot write {out}: Is a directory\n")
    (out / "000000.parquet").rmdir()
    code, told = batch("--as", "parquet")
    assert "0 predicted, 7 done before" in told
    assert sorted(outputs(out, "parquet")) == names("parquet", photos)


def test_a_kill_while_a_table_is_made_costs_nothing(batch: Any, photos: Path, out: Path) -> None:
    """Between the table and the end of what it was made of."""
    batch("--as", "parquet", "--shard-size", 4)
    (out / "000000.part").write_bytes(b"left behind")
    code, told = batch("--as", "parquet", "--shard-size", 4)
    assert (code, "0 predicted, 7 done before" in told) == (0, True)
    assert sorted(outputs(out, "parquet")) == names("parquet", photos)
    assert not (out / "000000.part").exists()


def test_a_row_stands_for_an_image_as_it_was_last(
    batch: Any, photos: Path, out: Path, fake: Any
) -> None:
    """The image changes while its shard grows: between two runs of which the first is cut off."""

    def leave(_: Any, context: grpc.ServicerContext) -> None:
        if len(fake.requests) > 4:
            context.abort(grpc.StatusCode.UNAVAILABLE, "gone")

    fake.refuse = leave
    (out / "000000.parquet").mkdir(parents=True)  # and cannot be made into a table
    batch("--as", "parquet", "--in-flight", 1, "--patience", 0)
    (out / "000000.parquet").rmdir()
    (photos / "10.png").write_bytes((photos / "5.png").read_bytes())
    os.utime(photos / "10.png", ns=(0, 12345))
    fake.refuse = lambda *_: None
    assert batch("--as", "parquet")[0] == 0
    found = outputs(out, "parquet")
    assert sorted(found) == names("parquet", photos)
    assert classes(found["10.png.classes.png"]) == [0, 1, 2, 0, 1]


@EITHER
@pytest.mark.parametrize("size", [2, 1000])
def test_an_image_that_has_changed_is_there_once_as_it_is_now(
    batch: Any, photos: Path, out: Path, kind: str, size: int
) -> None:
    batch("--as", kind, "--shard-size", size)
    for source, seen in (("5.png", [0, 1, 2, 0, 1]), ("6.png", [0, 1, 2, 0, 1, 2])):
        (photos / "10.png").write_bytes((photos / source).read_bytes())
        os.utime(photos / "10.png", ns=(0, len(seen)))
        code, told = batch("--as", kind, "--shard-size", size)
        assert (code, "1 predicted, 6 done before" in told) == (0, True)
        found = outputs(out, kind)
        assert sorted(found) == names(kind, photos)
        assert classes(found["10.png.classes.png"]) == seen


@BOTH
@pytest.mark.parametrize("closed", [True, False])
def test_a_kill_before_an_old_result_is_taken_away_leaves_it_to_the_rerun(
    tmp_path: Path, kind: Kind, closed: bool
) -> None:
    sink = shards(tmp_path, kind)
    for name in "ab":
        sink.add({"file": f"{name}.png", "stamp": 1}, FILES)
    if closed:
        sink.close()
        sink = shards(tmp_path, kind)
    sink.add({"file": "a.png", "stamp": 2}, {"classes.png": b"new"})
    again = shards(tmp_path, kind)  # the first was killed
    again.close()
    found = outputs(tmp_path, kind.suffix[1:])
    assert sorted(found) == [f"{n}.png.{s}" for n in "ab" for s in ("classes.png", "json")]
    assert found["a.png.classes.png"] == b"new"


def test_other_tools_read_a_shard_in_which_something_was_taken_away(
    batch: Any, photos: Path, out: Path
) -> None:
    if (tar := shutil.which("tar")) is None:
        pytest.skip("there is no tar")
    batch("--as", "tar")
    os.utime(photos / "5.png", ns=(0, 12345))
    batch("--as", "tar")
    listed = subprocess.run(
        [tar, "tf", out / "000000.tar"], capture_output=True, text=True, check=True
    )
    assert listed.stderr == ""
    assert sorted(listed.stdout.split()) == names("tar", photos)
