"""Lists of images: a path a line, a column of a table.

    .txt        a path a line; empty lines and those that begin with # count for nothing
    .csv        the column path (or file, image, filename), or the only one
    .parquet    the same columns; or images themselves, as bytes or {bytes, path}

Paths are the list's neighbours where they are relative. Results lie as the images lie to the list;
those of images elsewhere lie under their whole path. A line that names no image fails alone, as an
image does; a list that cannot be read any further ends the job.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any

from anyres_client.errors import InvalidRequest
from anyres_client.jobs.items import Found, Item, Stamp, Unusable, from_file, inside

COLUMNS = ("path", "file", "image", "filename")
ROWS_AT_ONCE = 256


def lines(path: Path) -> Iterator[Found]:
    """The images of a text file."""
    with _text(path) as file:
        for number, line in enumerate(file, 1):
            said = line.strip()
            if said and not said.startswith("#"):
                yield _listed(path, f"line {number}", said)


def table(path: Path) -> Iterator[Found]:
    """The images of a CSV file.

    Raises:
        InvalidRequest: it is none, or has no column of paths.
    """
    with _text(path) as file:
        rows = csv.DictReader(file)
        try:
            column = _column(path, rows.fieldnames or ())
            for row in rows:
                yield _listed(path, f"line {rows.line_num}", row[column] or "")
        except csv.Error as error:
            raise InvalidRequest(f"{path}, line {rows.reader.line_num}: {error}") from error


def parquet(path: Path) -> Iterator[Found]:
    """The images of a Parquet file; needs pyarrow.

    Raises:
        InvalidRequest: it is none, or torn, or has no column of images.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            column = _column(path, file.schema_arrow.names)
            number = 0
            for batch in file.iter_batches(ROWS_AT_ONCE, columns=[column]):
                for value in batch.column(0):
                    yield _row(path, number, value)
                    number += 1
    except (pyarrow.ArrowException, OSError) as error:
        raise InvalidRequest(f"{path} is no Parquet file, or torn: {error}") from error


def count_lines(path: Path) -> int:
    """How many images a text file or a CSV file names at most."""
    with path.open("rb") as file:
        return sum(1 for line in file if line.strip())


def count_rows(path: Path) -> int:
    """How many images a Parquet file may hold.

    Raises:
        InvalidRequest: it is none.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        return int(pyarrow.parquet.read_metadata(path).num_rows)
    except (pyarrow.ArrowException, OSError) as error:
        raise InvalidRequest(f"{path} is no Parquet file, or torn: {error}") from error


def _text(path: Path) -> IO[str]:
    """A list's text; names on a disk need be no Unicode, and stay what they are."""
    return path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")


def _row(path: Path, number: int, value: Any) -> Found:
    place = f"row {number}"
    try:
        held = value.as_py()
    except UnicodeDecodeError:
        return _unusable(path, place, "its path is no Unicode")
    match held:
        case str():
            return _listed(path, place, held)
        case bytes():
            return _held(f"{number:08d}.png", held)
        case {"bytes": bytes(image), **rest}:
            name = str(rest.get("path") or f"{number:08d}.png")
            return _held(inside(name) or f"{number:08d}.png", image)
        case _:
            kind = type(held).__name__
            return _unusable(path, place, f"it holds a {kind}; expected a path or bytes")


def _held(name: str, data: bytes) -> Item:
    stamp: Stamp = {"bytes": len(data), "blake2b": blake2b(data, digest_size=16).hexdigest()}
    return Item(name, stamp, len(data), partial(bytes, data))


def _listed(manifest: Path, place: str, text: str) -> Found:
    if not text.strip():
        return _unusable(manifest, place, "it names no image")
    if "\0" in text:
        return _unusable(manifest, place, "its path holds a NUL byte; expected UTF-8 text")
    path = manifest.parent / text
    name = inside(text) or os.path.abspath(path).lstrip("/")  # noqa: PTH100 - follows no links
    return from_file(name, path)


def _unusable(manifest: Path, place: str, reason: str) -> Unusable:
    return Unusable(f"{manifest.name}, {place}", reason)


def _column(path: Path, names: Sequence[str]) -> str:
    found: Mapping[str, str] = {name.strip().lower(): name for name in names}
    for wanted in COLUMNS:
        if wanted in found:
            return found[wanted]
    if len(names) == 1:
        return names[0]
    there = ", ".join(names) or "none"
    raise InvalidRequest(f"{path} has no column {', '.join(COLUMNS)}; there are {there}")
