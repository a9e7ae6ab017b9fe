"""Lists of images: a path a line, a column of a table.

    .txt        a path a line; empty lines and those that begin with # count for nothing
    .csv        the column path (or file, image, filename), or the only one
    .parquet    the same columns; or images themselves, as bytes or {bytes, path}

Paths are the list's neighbours where they are relative. Results lie as the images lie to the list;
those of images elsewhere lie under their whole path.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from anyres_client.errors import InvalidRequest
from anyres_client.jobs.items import Found, Item, from_file, inside

COLUMNS = ("path", "file", "image", "filename")
ROWS_AT_ONCE = 256


def lines(path: Path) -> Iterator[Found]:
    """The images of a text file."""
    with path.open(encoding="utf-8") as file:
        said = (line.strip() for line in file)
        yield from _listed(path, (line for line in said if line and not line.startswith("#")))


def table(path: Path) -> Iterator[Found]:
    """The images of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        column = _column(path, rows.fieldnames or ())
        yield from _listed(path, (row[column] for row in rows if row[column]))


def parquet(path: Path) -> Iterator[Found]:
    """The images of a Parquet file; needs pyarrow."""
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as file:
        column = _column(path, file.schema_arrow.names)
        number = 0
        for batch in file.iter_batches(ROWS_AT_ONCE, columns=[column]):
            for value in batch.column(0).to_pylist():
                yield from _row(path, number, value)
                number += 1


def _row(path: Path, number: int, value: Any) -> Iterable[Found]:
    match value:
        case str():
            return _listed(path, [value])
        case bytes():
            return [_held(f"{number:08d}.png", value)]
        case {"bytes": bytes(held), **rest}:
            name = str(rest.get("path") or f"{number:08d}.png")
            return [_held(inside(name) or f"{number:08d}.png", held)]
        case _:
            kind = type(value).__name__
            raise InvalidRequest(f"{path}: row {number} holds a {kind}; expected a path or bytes")


def _held(name: str, data: bytes) -> Item:
    return Item(name, {"bytes": len(data)}, len(data), partial(bytes, data))


def _listed(manifest: Path, paths: Iterable[str]) -> Iterator[Found]:
    home = manifest.parent
    for text in paths:
        path = home / text
        name = inside(text) or str(path.resolve()).lstrip("/")
        yield from_file(name, path)


def _column(path: Path, names: Sequence[str]) -> str:
    found: Mapping[str, str] = {name.strip().lower(): name for name in names}
    for wanted in COLUMNS:
        if wanted in found:
            return found[wanted]
    if len(names) == 1:
        return names[0]
    there = ", ".join(names) or "none"
    raise InvalidRequest(f"{path} has no column {', '.join(COLUMNS)}; there are {there}")
