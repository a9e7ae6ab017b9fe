"""A Parquet file made of a tar file of results: a row an image.

path     the image's name
...      a column for each of its files: classes.png, overlay.jpg
about    its line, as JSON
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

from anyres_client.atomic import replacing
from anyres_client.errors import InvalidRequest
from anyres_client.jobs.journal import Line

ROWS_AT_ONCE = 256
ABOUT = ".json"

Row: TypeAlias = dict[str, Any]


def check(name: str) -> None:
    """See whether there may be a row of this name; needs pyarrow.

    Raises:
        InvalidRequest: it is no Unicode, as names on a disk need not be.
    """
    import pyarrow.parquet  # noqa: F401 - told before there is a result that needs it

    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest(
            "its name is no Unicode, which a Parquet file's text must be"
        ) from error


def made(results: Path, table: Path) -> None:
    """Write the table, whole or not at all, then remove the tar file."""
    import pyarrow
    from pyarrow.parquet import ParquetWriter

    rows = _rows(results)
    some = list(islice(rows, ROWS_AT_ONCE))
    schema = pyarrow.schema([(name, _type(value)) for name, value in some[0].items()])
    with replacing(table, alone=True) as file, ParquetWriter(file, schema) as writer:
        while some:
            writer.write_table(pyarrow.Table.from_pylist(some, schema))
            some = list(islice(rows, ROWS_AT_ONCE))
    results.unlink()


def without(table: Path, lines: Iterable[Line]) -> None:
    """Write a table anew without the rows that some lines tell of, as the images were then."""
    import pyarrow
    from pyarrow import parquet

    gone = {(str(line["file"]), _stamp(line)) for line in lines}
    rows = parquet.read_table(table)
    about = zip(rows["path"].to_pylist(), rows["about"].to_pylist(), strict=True)
    stays = pyarrow.array([(path, _stamp(json.loads(said))) not in gone for path, said in about])
    with replacing(table, alone=True) as file:
        parquet.write_table(rows.filter(stays), file)


def _stamp(line: Line) -> str:
    return json.dumps(line.get("stamp"), sort_keys=True)


def _type(value: str | bytes) -> Any:
    import pyarrow

    return pyarrow.string() if isinstance(value, str) else pyarrow.binary()


def _rows(results: Path) -> Iterator[Row]:
    """The newest results of every image, in the order in which they came."""
    with tarfile.open(results, "r:") as archive:
        newest = {member.name: member.offset for member in archive if _is_last(member)}
        files: Row = {}
        for member in archive:
            file = archive.extractfile(member)
            assert file is not None, "a sink writes regular files only"
            contents = file.read()
            if not _is_last(member):
                files[member.name] = contents
                continue
            name = member.name.removesuffix(ABOUT)
            if newest[member.name] == member.offset:
                suffixed = {each.removeprefix(f"{name}."): held for each, held in files.items()}
                yield {"path": name, **suffixed, "about": contents.decode()}
            files = {}


def _is_last(member: tarfile.TarInfo) -> bool:
    """Whether an image's results end here."""
    return member.name.endswith(ABOUT)
