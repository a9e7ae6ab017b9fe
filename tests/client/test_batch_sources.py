"""Where a batch's images come from: patterns, lists, archives; and what must not come of them."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from anyres_client.main import main

NAMES = ["1.png", "deep/2.png", "deep/3.png"]


def encoded(width: int) -> bytes:
    file = io.BytesIO()
    pixels = np.zeros((6, width, 3), np.uint8)
    pixels[:, :, 0] = 255
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


IMAGES = {name: encoded(8 + index) for index, name in enumerate(NAMES)}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name, contents in IMAGES.items():
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents)
    return tmp_path / "photos"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def batch(out: Path, fake: Any, capsys: pytest.CaptureFixture[str]) -> Any:
    """`batch(source)`: exit code and stderr."""

    def run(source: object, *options: str) -> tuple[int, str]:
        code = main(["batch", str(source), "--out", str(out), "--model", "zones",
                     "--server", fake.address, *options])  # fmt: skip
        return code, capsys.readouterr().err

    return run


def results(out: Path) -> dict[str, int]:
    """Every class map's width, by its image's name."""
    found = {}
    for path in out.rglob("*.classes.png"):
        with Image.open(path) as image:
            found[path.relative_to(out).as_posix().removesuffix(".classes.png")] = image.width
    return found


def folder(photos: Path) -> Path:
    return photos


def pattern(photos: Path) -> str:
    return f"{photos}/**/*.png"


def text(photos: Path) -> Path:
    path = photos / "list.txt"
    path.write_text("# two and one\n\ndeep/2.png\n./deep/3.png\n1.png\n")
    return path


def table(photos: Path) -> Path:
    path = photos / "list.csv"
    path.write_text("id,path\n1,1.png\n2,deep/2.png\n3,deep/3.png\n")
    return path


def parquet(photos: Path) -> Path:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table({"path": NAMES, "id": [1, 2, 3]}), photos / "list.parquet")
    return photos / "list.parquet"


def parquet_of_images(photos: Path) -> Path:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [{"image": {"bytes": data, "path": name}} for name, data in IMAGES.items()]
    parquet.write_table(pyarrow.Table.from_pylist(rows), photos / "images.parquet")
    return photos / "images.parquet"


def zipped(photos: Path) -> Path:
    with zipfile.ZipFile(photos / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("notes.md", "not an image")
        for name, contents in IMAGES.items():
            archive.writestr(name, contents)
    return photos / "all.zip"


def tarred(photos: Path, suffix: str = ".tar", mode: str = "w") -> Path:
    path = photos / f"all{suffix}"
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, contents in IMAGES.items():
            info = tarfile.TarInfo(name)
            info.size = len(contents)
            archive.addfile(info, io.BytesIO(contents))
    return path


def compressed(photos: Path) -> Path:
    return tarred(photos, ".tar.gz", "w:gz")


SOURCES = [*(folder, pattern, text, table, parquet, parquet_of_images, zipped, tarred, compressed)]


@pytest.mark.parametrize("source", SOURCES)
def test_every_source_gives_the_same_results(
    batch: Any, photos: Path, out: Path, source: Any
) -> None:
    code, told = batch(source(photos))
    assert (code, told.splitlines()[-1]) == (
        0,
        f"3 predicted, 0 done before, 0 failed; results in {out}",
    )
    assert results(out) == {name: 8 + index for index, name in enumerate(NAMES)}


@pytest.mark.parametrize("source", SOURCES)
def test_a_rerun_over_any_source_does_nothing_again(
    batch: Any, fake: Any, photos: Path, source: Any
) -> None:
    place = source(photos)
    batch(place)
    fake.requests.clear()
    assert "0 predicted, 3 done before" in batch(place)[1]
    assert not fake.requests


@pytest.mark.parametrize(
    "name", ["../up.png", "/abs.png", "a/../../up.png", "C:/x.png", "..\\up.png"]
)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_name_that_leads_outside_is_skipped_and_writes_nothing(
    batch: Any, tmp_path: Path, out: Path, name: str, kind: str
) -> None:
    path = tmp_path / f"evil.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, IMAGES["1.png"])
    else:
        with tarfile.open(path, "w") as tar:
            info = tarfile.TarInfo(name)
            info.size = len(IMAGES["1.png"])
            tar.addfile(info, io.BytesIO(IMAGES["1.png"]))
    code, told = batch(path)
    assert code == 1
    assert "leads outside" in told
    assert {p.relative_to(tmp_path).parts[0] for p in tmp_path.rglob("*")} == {path.name, "out"}
    assert results(out) == {}


def torn_zip(photos: Path) -> None:
    zipped(photos)
    whole = (photos / "all.zip").read_bytes()
    (photos / "bad.zip").write_bytes(whole[: len(whole) // 2])


def torn_tar(photos: Path) -> None:
    whole = tarred(photos).read_bytes()
    (photos / "bad.tar").write_bytes(whole[:700])


def torn_gzip(photos: Path) -> None:
    whole = compressed(photos).read_bytes()
    (photos / "bad.tar.gz").write_bytes(whole[: len(whole) // 2])


def no_tar(photos: Path) -> None:
    (photos / "bad.tar").write_bytes(b"something else" * 100)


def empty(photos: Path) -> None:
    (photos / "bad.zip").touch()


def no_column(photos: Path) -> None:
    (photos / "bad.csv").write_text("left,right\n1,2\n")


def no_such(photos: Path) -> None:
    (photos / "bad.md").write_text("hello")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (torn_zip, "no zip file, or torn"),
        (torn_tar, "no tar file, or torn"),
        (torn_gzip, ""),
        (no_tar, "no tar file, or torn"),
        (empty, "is empty: 0 bytes"),
        (no_column, "no column path"),
        (no_such, "no list and no archive"),
    ],
)
def test_a_source_that_cannot_be_read_is_one_line(
    batch: Any, photos: Path, make: Any, said: str
) -> None:
    make(photos)
    (bad,) = photos.glob("bad.*")
    code, told = batch(bad)
    assert code in {1, 2}
    assert said in told
    assert "bug" not in told
    assert len([line for line in told.splitlines() if line.startswith("anyres batch")]) <= 1


def test_an_archive_that_was_cut_off_between_two_images_is_not_taken_for_whole(
    batch: Any, photos: Path, out: Path
) -> None:
    with tarfile.open(tarred(photos)) as archive:
        second = archive.getmembers()[1].offset
    (photos / "cut.tar").write_bytes((photos / "all.tar").read_bytes()[:second])
    code, told = batch(photos / "cut.tar")
    assert code == 1
    assert "cut.tar: skipped: it ends in the middle" in told
    assert list(results(out)) == ["1.png"]


def test_a_source_that_is_not_there_is_named(batch: Any, tmp_path: Path) -> None:
    code, told = batch(tmp_path / "nowhere")
    assert code == 2
    assert f"there is no folder, list, archive or pattern {tmp_path}/nowhere" in told


def test_what_a_list_names_and_is_not_there_is_a_failure_with_its_reason(
    batch: Any, photos: Path, out: Path
) -> None:
    (photos / "list.txt").write_text("1.png\ngone.png\n")
    assert batch(photos / "list.txt")[0] == 1
    (failure,) = map(json.loads, (out / "failures.jsonl").read_text().splitlines())
    assert failure == {
        "file": "gone.png",
        "error": "InvalidRequest",
        "reason": "cannot read it: No such file or directory",
    }


def test_two_images_of_one_name_do_not_overwrite_each_other(
    batch: Any, tmp_path: Path, out: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "twice.zip", "w") as archive:
        archive.writestr("1.png", encoded(8))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("1.png", encoded(9))
    code, told = batch(tmp_path / "twice.zip")
    assert code == 1
    assert "1.png: skipped: another image of this job has its name" in told
    assert results(out) == {"1.png": 8}
