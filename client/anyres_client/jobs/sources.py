"""Where a job's images come from: a folder, a pattern, a list or an archive, by what is named.

photos/               every image below it; links to folders are not followed
"photos/**/*.jpg"     what the pattern finds
list.txt .csv .parquet    what is listed there
a.zip  a.tar  a.tar.gz    what is in there, without unpacking
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NoReturn

from anyres_client.atomic import TEMPORARY
from anyres_client.errors import InvalidRequest
from anyres_client.jobs import archives, manifests
from anyres_client.jobs.items import Found, from_file, is_image

MAGIC = frozenset("*?[")
READERS: Mapping[str, Callable[[Path], Iterator[Found]]] = {
    ".txt": manifests.lines,
    ".csv": manifests.table,
    ".parquet": manifests.parquet,
    ".zip": archives.zipped,
    **dict.fromkeys(archives.TARS, archives.tarred),
}
# How many images a file may hold, without reading it all; a tar file does not say.
COUNTS: Mapping[str, Callable[[Path], int]] = {
    ".txt": manifests.count_lines,
    ".csv": manifests.count_lines,
    ".parquet": manifests.count_rows,
    ".zip": archives.count_members,
}


def found(source: str, out: Path) -> Iterator[Found]:
    """Every image of a source; results that lie within it are left out.

    Raises:
        InvalidRequest: there is no such source, or it cannot be read.
    """
    path = Path(source)
    if os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises where a name is too long
        if _real(path).is_relative_to(_real(out)):
            raise InvalidRequest(f"the results need a folder of their own: {out} holds the images")
        return _folder(path, out)
    if os.path.isfile(path):  # noqa: PTH113 - so does Path.is_file
        return _file(path)
    if MAGIC & set(source):
        return _pattern(source, out)
    raise InvalidRequest(f"there is no folder, list, archive or pattern {source}")


def count(source: str, out: Path) -> int | None:
    """How many images a source may have, by their names alone; None where it does not say.

    Raises:
        InvalidRequest: it cannot be read.
    """
    path = Path(source)
    if path.is_dir():
        return sum(1 for _ in _below(path, out))
    if not path.is_file():
        return len(_matching(source, out)[1])
    counted = next((COUNTS[suffix] for suffix in COUNTS if path.name.endswith(suffix)), None)
    return None if counted is None else counted(path)


def within(folder: Path) -> Iterator[Found]:
    """Every image below a folder, each folder's in order of their names.

    Raises:
        InvalidRequest: a folder cannot be read.
    """
    return _folder(folder, None)


def _file(path: Path) -> Iterator[Found]:
    kind = next((suffix for suffix in READERS if path.name.lower().endswith(suffix)), None)
    if kind is None and is_image(path.name):
        return iter([from_file(path.name, path)])
    if kind is None:
        raise InvalidRequest(f"{path} is no list and no archive: those are {', '.join(READERS)}")
    if not path.stat().st_size:
        raise InvalidRequest(f"{path} is empty: 0 bytes")
    return READERS[kind](path)


def _folder(source: Path, out: Path | None) -> Iterator[Found]:
    for path in _below(source, out):
        yield from_file(path.relative_to(source).as_posix(), path)


def _below(source: Path, out: Path | None) -> Iterator[Path]:
    for folder, subfolders, files in os.walk(source, onerror=_unreadable):
        here = Path(folder)
        subfolders[:] = sorted(
            name
            for name in subfolders
            if not name.startswith(".") and (out is None or _real(here / name) != _real(out))
        )
        for name in sorted(files):
            if is_image(name) and not name.startswith(TEMPORARY):
                yield here / name


def _pattern(pattern: str, out: Path) -> Iterator[Found]:
    home, matching = _matching(pattern, out)
    for path in matching:
        yield from_file(path.relative_to(home).as_posix(), path)


def _matching(pattern: str, out: Path) -> tuple[Path, list[Path]]:
    """The part of a pattern that is a folder, and what the rest finds in it, in order."""
    parts = Path(pattern).parts
    magic = next(index for index, part in enumerate(parts) if MAGIC & set(part))
    home, results = Path(*parts[:magic]), _real(out)
    try:
        found = sorted(home.glob("/".join(parts[magic:])))
    except (ValueError, OSError) as error:
        raise InvalidRequest(f"{pattern} is no pattern: {error}") from error
    return home, [path for path in found if _is_photo(path, results)]


def _is_photo(path: Path, results: Path) -> bool:
    return is_image(path.name) and not path.is_dir() and not _real(path).is_relative_to(results)


def _real(path: Path) -> Path:
    """Where a path leads; unlike `Path.resolve`, links that go in circles do not break it."""
    return Path(os.path.realpath(path))


def _unreadable(error: OSError) -> NoReturn:
    raise InvalidRequest(f"cannot read {error.filename}: {error.strerror}") from error
