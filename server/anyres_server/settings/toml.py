"""Reads TOML so that a mistake can be told by the file and the line it stands in."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

Model = TypeVar("Model", bound=BaseModel)


class Mistake(Exception):
    """A setting that cannot be; its message says where it stands and what was expected."""


@dataclass(frozen=True)
class Source:
    """A TOML file: what it says, and its text to point at."""

    path: Path
    values: Mapping[str, Any]
    lines: tuple[str, ...]

    def where(self, key: tuple[str, ...]) -> str:
        """The file and the line in which a key stands: "server.toml:12"."""
        number = _line(self.lines, key)
        return f"{self.path.name}:{number}" if number else self.path.name


def read_toml(path: Path) -> Source:
    """What a file says.

    Raises:
        Mistake: it is no TOML, or no UTF-8.
        OSError: it cannot be read.
    """
    try:
        text = path.read_bytes().decode()
        return Source(path, tomllib.loads(text), tuple(text.splitlines()))
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        where = f":{line[1]}" if line else ""
        raise Mistake(f"{path.name}{where} is no TOML: {error}") from error
    except UnicodeDecodeError as error:
        raise Mistake(f"{path.name} is no UTF-8 from byte {error.start}") from error


def validated(kind: type[Model], source: Source) -> Model:
    """A file's values as settings.

    Raises:
        Mistake: one of them cannot be; names the line.
    """
    try:
        return kind.model_validate(source.values)
    except ValidationError as error:
        first = error.errors()[0]
        key = tuple(map(str, first["loc"]))
        raise Mistake(f"{source.where(key)}: {said(kind, key, first)}") from error


def said(kind: type[BaseModel], key: tuple[str, ...], error: Mapping[str, Any]) -> str:
    """What is wrong with a key: "buget is no setting; the nearest is budget"."""
    name = ".".join(key)
    if error["type"] != "extra_forbidden":
        return f"{name}: {error['msg'].removeprefix('Value error, ')}; got {error['input']!r}"
    near = get_close_matches(key[-1], names(kind, key[:-1]), n=1)
    return f"{name} is no setting" + (f"; the nearest is {near[0]}" if near else "")


def names(kind: type[BaseModel], table: tuple[str, ...] = ()) -> list[str]:
    """The settings of a table of a class of settings."""
    fields = kind.model_fields
    if not table:
        return list(fields)
    inner = fields[table[0]].annotation if table[0] in fields else None
    if isinstance(inner, type) and issubclass(inner, BaseModel):
        return names(inner, table[1:])
    return []


def _line(lines: tuple[str, ...], key: tuple[str, ...]) -> int | None:
    """Where a key, or the table around it, is written first; None where it cannot be found."""
    table: tuple[str, ...] = ()
    found: int | None = None
    for number, line in enumerate(lines, 1):
        if header := re.match(r"\s*\[\[?\s*([^\]]+?)\s*\]", line):
            table = tuple(part.strip(" \"'") for part in header[1].split("."))
            names = table
        elif pair := re.match(r"\s*([\w.\"'-]+(?:\s*\.\s*[\w\"'-]+)*)\s*=", line):
            names = (*table, *(part.strip(" \"'") for part in pair[1].split(".")))
        else:
            continue
        if names == key[: len(names)]:
            found = number
            if names == key:
                break
    return found
