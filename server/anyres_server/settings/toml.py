"""Reads TOML, and says in which line of a file a key stands."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anyres_server.regular import read_regular
from anyres_server.settings.mistake import Key, Mistake


@dataclass(frozen=True)
class Written:
    """A TOML file: what it says, and its text to point at."""

    path: Path
    values: Mapping[str, Any]
    lines: tuple[str, ...]

    def where(self, key: Key) -> str:
        """The file and the line in which a key stands: "server.toml:12"."""
        number = _line(self.lines, key)
        return f"{self.path.name}:{number}" if number else self.path.name


def read_toml(path: Path) -> Written:
    """What a file says.

    Raises:
        Mistake: it is no TOML, or no UTF-8.
        OSError: it cannot be read.
    """
    try:
        text = read_regular(path).decode()
        return Written(path, tomllib.loads(text), tuple(text.splitlines()))
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        where = f":{line[1]}" if line else ""
        raise Mistake(f"{path.name}{where} is no TOML: {error}") from error
    except RecursionError as error:
        raise Mistake(f"{path.name} cannot be read: it is nested too deeply") from error
    except UnicodeDecodeError as error:
        raise Mistake(f"{path.name} is no UTF-8 from byte {error.start}") from error


def _line(lines: tuple[str, ...], key: Key) -> int | None:
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
