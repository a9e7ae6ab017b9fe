"""Lists, archives and names that are broken: a line that says where, and no image is lost to it."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.client.jobs.outputs import WIDTHS

from anyres_client.errors import InvalidRequest
from anyres_client.jobs import sources
from anyres_client.jobs.items import Item, Unusable
from anyres_client.main import main

COUNT = len(WIDTHS)


@pytest.fixture
def batch_of(out: Path, fake: Any, capsys: pytest.CaptureFixture[str]) -> Any:
    """`batch_of(source)`: exit code, stderr, and the failures by name."""

    def run(source: object) -> tuple[int, str, dict[str, str]]:
        code = main(["batch", str(source), "--out", str(out), "--model", "zones",
                     "--server", fake.address])  # fmt: skip
        said = capsys.readouterr().err
        assert "this is a bug" not in said
        if not (out / "failures.jsonl").exists():
            return code, said, {}
        failures = map(json.loads, (out / "failures.jsonl").read_text().splitlines())
        return code, said, {failure["file"]: failure["reason"] for failure in failures}

    return run


def test_a_line_that_is_no_text_fails_alone_and_is_named_by_its_number(
    batch_of: Any, photos: Path
) -> None:
    listed = photos / "list.txt"
    listed.write_bytes(b"\xef\xbb\xbf5.png\n\n6\0.png\n7.png\r\n\xff\xfe.png\n")
    code, said, failures = batch_of(listed)
    assert code == 1
    assert "2 predicted, 0 done before, 2 failed" in said
    assert failures == {
        "list.txt, line 3": "its path holds a NUL byte; expected UTF-8 text",
        "\udcff\udcfe.png": "cannot read it: No such file or directory",
    }
    assert r"\udcff\udcfe.png: skipped: cannot read it" in said


def test_a_row_without_a_path_is_named_by_its_line(batch_of: Any, photos: Path) -> None:
    (photos / "list.csv").write_text('id,path\n1,5.png\n2\n3,""\n4,6.png\n')
    code, _, failures = batch_of(photos / "list.csv")
    assert code == 1
    assert failures == {
        "list.csv, line 3": "it names no image",
        "list.csv, line 4": "it names no image",
    }


def test_a_table_that_cannot_be_read_any_further_says_in_which_line(
    batch_of: Any, photos: Path
) -> None:
    (photos / "list.csv").write_text("path\n5.png\n" + "x" * 200_000 + "\n")
    code, said, _ = batch_of(photos / "list.csv")
    assert (code, said.count("\n")) == (2, 1)
    assert f"{photos}/list.csv, line 3: field larger than field limit" in said


@pytest.mark.parametrize("torn", [b"no table at all", b"PAR1", b""])
def test_a_parquet_file_that_is_none_is_one_line(batch_of: Any, photos: Path, torn: bytes) -> None:
    pytest.importorskip("pyarrow")
    (photos / "list.parquet").write_bytes(torn)
    code, said, _ = batch_of(photos / "list.parquet")
    assert (code, said.count("\n")) == (2, 1)
    assert "is empty: 0 bytes" in said or "list.parquet is no Parquet file, or torn" in said


def test_rows_of_a_parquet_file_that_hold_no_image_are_named_by_their_numbers(
    batch_of: Any, photos: Path
) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    raw = pyarrow.array([b"5.png", b"\xff.png", None], pyarrow.binary())
    names = pyarrow.StringArray.from_buffers(3, *raw.buffers()[1:], raw.buffers()[0])
    parquet.write_table(pyarrow.table({"path": names}), photos / "list.parquet")
    code, _, failures = batch_of(photos / "list.parquet")
    assert code == 1
    assert failures == {
        "list.parquet, row 1": "its path is no Unicode",
        "list.parquet, row 2": "it holds a NoneType; expected a path or bytes",
    }


def test_an_image_in_a_parquet_file_that_changes_is_noticed_though_its_length_stays(
    batch_of: Any, fake: Any, photos: Path
) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    one, other = ((photos / f"{width}.png").read_bytes() for width in (5, 6))
    length = max(len(one), len(other))  # what follows a PNG's end counts for nothing
    for image, asked in ((one, 1), (other, 2), (other, 2)):
        row = {"image": {"bytes": image.ljust(length, b"\0"), "path": "a.png"}}
        parquet.write_table(pyarrow.Table.from_pylist([row]), photos / "images.parquet")
        assert batch_of(photos / "images.parquet")[0] == 0
        assert len(fake.requests) == asked


def test_names_that_are_no_unicode_are_predicted_and_remembered(
    batch_of: Any, fake: Any, photos: Path, out: Path
) -> None:
    (photos / "5.png").rename(photos / "\udcff5.png")
    for asked in (COUNT, COUNT):
        assert batch_of(photos)[0] == 0
        assert len(fake.requests) == asked
    assert (out / "\udcff5.png.classes.png").exists()


def test_a_name_that_is_no_unicode_fails_alone_where_results_are_tables(
    batch: Any, photos: Path, out: Path
) -> None:
    pytest.importorskip("pyarrow")
    (photos / "5.png").rename(photos / "\udcff5.png")
    code, told = batch("--as", "parquet")
    assert code == 1
    assert r"\udcff5.png: skipped: its name is no Unicode" in told
    assert f"{COUNT - 1} predicted" in told


def test_a_name_cannot_write_on_the_terminal_what_it_likes(batch_of: Any, photos: Path) -> None:
    (photos / "\x1b[2J\n0 failed.png").write_bytes(b"no image")
    _, said, failures = batch_of(photos)
    assert len(failures) == 1
    assert r"\x1b[2J\n0 failed.png: skipped" in said
    assert "\x1b" not in said


def test_links_that_go_in_circles_are_told_and_followed_nowhere(
    batch_of: Any, photos: Path
) -> None:
    (photos / "round").symlink_to(photos / "round")
    (photos / "list.txt").write_text(f"5.png\nround/6.png\n{photos}/round/../7.png\n")
    code, _, failures = batch_of(photos / "list.txt")
    assert code == 1
    assert failures["round/6.png"] == "cannot read it: Too many levels of symbolic links"
    (photos / "up").symlink_to(photos)
    assert batch_of(f"{photos}/**/*.png")[0] in {0, 2}  # 2: the list's job has its results here


def test_an_output_that_is_a_link_to_itself_is_one_line(
    batch_of: Any, photos: Path, out: Path
) -> None:
    out.symlink_to(out)
    code, said, _ = batch_of(photos)
    assert (code, said) == (2, f"anyres batch: cannot write {out}: File exists\n")


@pytest.mark.parametrize("source", ["{}/**.png", "{}/[", "{}/" + "x" * 300, "*" * 300, "{}/**"])
def test_a_pattern_that_is_none_is_no_bug(batch_of: Any, photos: Path, source: str) -> None:
    code, said, _ = batch_of(source.format(photos))
    assert code in {0, 2}
    assert code == 0 or said.count("\n") == 1


def whole(folder: Path, kind: str) -> bytes:
    """A list or an archive that is right."""
    path = folder / f"whole{kind}"
    match kind:
        case ".zip":
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("a/ä.png", b"image" * 50)
        case ".tar" | ".tar.gz" | ".tar.xz":
            with tarfile.open(path, f"w:{kind[5:]}") as tar:  # type: ignore[call-overload]
                info = tarfile.TarInfo("a/ä.png")
                info.size = 250
                tar.addfile(info, io.BytesIO(b"image" * 50))
        case ".parquet":
            pyarrow = pytest.importorskip("pyarrow")
            rows = [{"path": "ä.png"}, {"path": "b.png"}]
            pytest.importorskip("pyarrow.parquet").write_table(
                pyarrow.Table.from_pylist(rows), path
            )
        case _:
            path.write_text("path,id\nä.png,1\nb.png,2\n")
    return path.read_bytes()


KINDS = [".txt", ".csv", ".zip", ".tar", ".tar.gz", ".tar.xz", ".parquet"]


@pytest.mark.parametrize("kind", KINDS)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_whatever_bytes_a_list_or_an_archive_holds_its_images_are_found_or_it_is_told(
    tmp_path: Path, kind: str, data: st.DataObject
) -> None:
    contents = bytearray(whole(tmp_path, kind))
    places = st.lists(st.integers(0, len(contents) - 1), max_size=8)
    for place in data.draw(places):
        contents[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(1, len(contents)))
    path = tmp_path / f"broken{kind}"
    path.write_bytes(bytes(contents[:cut]))
    with suppress(InvalidRequest):  # any other error fails the test
        for found in sources.found(str(path), tmp_path / "out"):
            assert isinstance(found, Item | Unusable)
            if isinstance(found, Item):
                found.read()
        sources.count(str(path), tmp_path / "out")
