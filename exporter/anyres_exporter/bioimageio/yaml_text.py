"""Plain values as YAML: what is short stands in one line, the rest in blocks.

Words are written plainly, every other string in double quotes, as in JSON; so YAML 1.1 and 1.2
read the same ("y" is quoted: to some readers it is true).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TypeAlias

Plain: TypeAlias = str | int | float | bool | list["Plain"] | dict[str, "Plain"]

_SHORT = 88  # columns that a line may take in flow style
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}


def blocks(value: dict[str, Plain]) -> Iterator[str]:
    """The lines of a mapping."""
    for key, entry in value.items():
        flow = _flow(entry)
        if len(key) + len(flow) < _SHORT or not isinstance(entry, dict | list):
            yield f"{_text(key)}: {flow}"
            continue
        yield f"{_text(key)}:"
        lines = blocks(entry) if isinstance(entry, dict) else _items(entry)
        yield from (f"  {line}" for line in lines)


def _items(entries: list[Plain]) -> Iterator[str]:
    for entry in entries:
        flow = _flow(entry)
        if len(flow) < _SHORT or not isinstance(entry, dict):
            yield f"- {flow}"
            continue
        first, *others = blocks(entry)
        yield f"- {first}"
        yield from (f"  {line}" for line in others)


def _flow(value: Plain) -> str:
    match value:
        case dict():
            pairs = (f"{_text(key)}: {_flow(entry)}" for key, entry in value.items())
            return f"{{{', '.join(pairs)}}}"
        case list():
            return f"[{', '.join(map(_flow, value))}]"
        case str():
            return _text(value)
        case _:
            return json.dumps(value)


def _text(text: str) -> str:
    if _WORD.fullmatch(text) and text.lower() not in _RESERVED:
        return text
    return "".join(map(_printable, json.dumps(text, ensure_ascii=False)))


def _printable(character: str) -> str:
    """YAML has no surrogate pairs, and takes no other control characters than JSON escapes."""
    return character if character.isprintable() else f"\\U{ord(character):08x}"
