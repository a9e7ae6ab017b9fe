"""Which label belongs to which picture.

maps      labels/a/b.png is the label of images/a/b.jpg: the same name below both folders,
          whatever the suffix
answers   one row of a CSV file a picture: its name (with or without suffix), then the class
          (by name or number) or the numbers
folders   images/cat/1.jpg shows a cat: the folder's name is the class, by name or number
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from anyres_exporter.evaluate.errors import BadLabel
from anyres_exporter.evaluate.labels import SUFFIXES

Label = TypeVar("Label")


@dataclass(frozen=True)
class Pairs(Generic[Label]):
    """Pictures with their labels, in the order of their names, and what is left over."""

    pairs: tuple[tuple[Path, Label], ...]
    unlabelled: tuple[Path, ...]
    unused: int  # labels without a picture

    def limited(self, most: int | None) -> Pairs[Label]:
        """The first of them."""
        return Pairs(self.pairs[:most], self.unlabelled, self.unused)


def maps(pictures: Iterable[Path], images: Path, labels: Path) -> Pairs[Path]:
    """Pictures and the maps of the same name.

    Raises:
        BadLabel: there is no such folder, or two labels have one name.
    """
    if not labels.is_dir():
        raise BadLabel(f"{labels} is no folder of labels")
    by_name: dict[str, Path] = {}
    for path in sorted(labels.rglob("*")):
        if path.suffix.lower() in SUFFIXES:
            name = _name(path, labels)
            if name in by_name:
                raise BadLabel(f"{by_name[name]} and {path} are labels of one name; keep one")
            by_name[name] = path
    return _matched(pictures, images, by_name)


def rows(pictures: Iterable[Path], images: Path, table: Path) -> Pairs[tuple[str, ...]]:
    """Pictures and what a CSV file says of them.

    Raises:
        BadLabel: it cannot be read, a row has one column, or two rows name one picture.
    """
    by_name: dict[str, tuple[str, ...]] = {}
    found = tuple(pictures)
    known = {_name(path, images) for path in found}
    for line, cells in _cells(table):
        if len(cells) < 2:
            raise BadLabel(f"{table}, line {line}: expected a picture's name and its label")
        name = _row_name(cells[0], known)
        if line == 1 and name not in known:
            continue  # a heading
        if name in by_name:
            raise BadLabel(f"{table}, line {line}: {cells[0]} has a label already")
        by_name[name] = cells[1:]
    return _matched(found, images, by_name)


def folders(pictures: Iterable[Path], images: Path) -> Pairs[tuple[str, ...]]:
    """Pictures and the folders that they lie in.

    Raises:
        BadLabel: one lies in none.
    """
    paths = tuple(pictures)
    lost = next((path for path in paths if path.parent == images), None)
    if lost is not None:
        raise BadLabel(
            f"{lost} lies in no folder of a class, as in {images}/cat/{lost.name}; "
            "or give --labels a CSV file of picture and class"
        )
    return Pairs(tuple((path, (path.relative_to(images).parts[0],)) for path in paths), (), 0)


def _matched(pictures: Iterable[Path], images: Path, by_name: Mapping[str, Label]) -> Pairs[Label]:
    named = [(path, _name(path, images)) for path in pictures]
    pairs = tuple((path, by_name[name]) for path, name in named if name in by_name)
    unlabelled = tuple(path for path, name in named if name not in by_name)
    return Pairs(pairs, unlabelled, len(by_name.keys() - {name for _, name in named}))


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).with_suffix("").as_posix()


def _row_name(text: str, known: set[str]) -> str:
    """A picture's name as a row writes it: without a suffix, if it has one."""
    return text if text in known else Path(text).with_suffix("").as_posix()


def _cells(table: Path) -> Iterator[tuple[int, tuple[str, ...]]]:
    """The rows that are not empty, with the numbers of their lines."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            for cells in reader:
                if any(cells):
                    yield reader.line_num, tuple(cell.strip() for cell in cells)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadLabel(f"{table} is no CSV file that can be read: {error}") from error
