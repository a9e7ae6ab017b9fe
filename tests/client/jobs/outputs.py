"""What a batch has written, whatever its kind, as one reads it without us."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

WIDTHS = range(5, 12)  # of the photos, which are called by them
KINDS = ["folder", "tar", "parquet"]

Outputs = dict[str, bytes]


def outputs(out: Path, kind: str) -> Outputs:
    """Every file of every image, by name; none may be there twice."""
    found: Outputs = {}
    for name, contents in READERS[kind](out):
        assert name not in found
        found[name] = contents
    return found


def _in_folder(out: Path) -> Iterator[tuple[str, bytes]]:
    for path in out.rglob("*"):
        if path.is_file() and path.suffix not in (".json", ".jsonl"):
            yield path.relative_to(out).as_posix(), path.read_bytes()


def _in_tars(out: Path) -> Iterator[tuple[str, bytes]]:
    for path in out.glob("*.tar"):
        assert path.read_bytes().endswith(bytes(1024)), "the end of a tar file, by POSIX"
        with tarfile.open(path) as archive:
            for member in archive:
                file = archive.extractfile(member)
                assert file is not None
                yield member.name, file.read()


def _in_tables(out: Path) -> Iterator[tuple[str, bytes]]:
    parquet = pytest.importorskip("pyarrow.parquet")
    for path in out.glob("*.parquet"):
        for row in parquet.read_table(path).to_pylist():
            name = row.pop("path")
            yield f"{name}.json", row.pop("about").encode()
            yield from ((f"{name}.{suffix}", held) for suffix, held in row.items())


READERS: dict[str, Any] = {"folder": _in_folder, "tar": _in_tars, "parquet": _in_tables}


def names(kind: str, photos: Path) -> list[str]:
    """What there is of some photos."""
    suffixes = ["classes.png"] if kind == "folder" else ["classes.png", "json"]
    return sorted(f"{path.name}.{suffix}" for path in photos.iterdir() for suffix in suffixes)


def classes(png: bytes) -> list[int]:
    """The first row of a class map."""
    with Image.open(io.BytesIO(png)) as image:
        return [int(each) for each in np.asarray(image)[0]]


def lines(out: Path) -> list[dict[str, Any]]:
    """The journal."""
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
