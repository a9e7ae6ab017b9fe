"""What people type after an option, as values: sizes, numbers, names, pairs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from anyres_proto.card import ClassName


def height_width(option: str, text: str) -> tuple[int, int]:
    """WIDTHxHEIGHT, as people write it, to (height, width)."""
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if match is None:
        raise typer.BadParameter(f"{option} '{text}' is no size; write WIDTHxHEIGHT, as in 451x300")
    return int(match[2]), int(match[1])


def classes(path: Path | None) -> tuple[ClassName, ...]:
    """A file of names, one a line; none without a file."""
    from anyres_proto.card import ClassName

    if path is None:
        return ()
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise typer.BadParameter(f"{path}, the classes: {reason}") from error
    return tuple(ClassName(name=line) for line in lines)


def numbers(option: str, text: str | None) -> tuple[float, ...] | None:
    """0.5,1/255,... to numbers."""
    return tuple(number(option, part) for part in text.split(",")) if text else None


def number(option: str, text: str) -> float:
    """0.5 or 1/255."""
    try:
        return float(Fraction(text.strip()))
    except (ValueError, ZeroDivisionError, OverflowError) as error:
        raise typer.BadParameter(
            f"{option} takes numbers, like 0.5 or 1/255; got {text!r}"
        ) from error


def arguments(option: str, pairs: Iterable[str]) -> dict[str, Any]:
    """key=value each; the value is JSON where it reads as that, else text."""
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key.isidentifier():
            raise typer.BadParameter(
                f"{option} takes key=value, as in {option} classes=6; got '{pair}'"
            )
        try:
            found[key] = json.loads(_JSON_WORDS.get(text, text))
        except json.JSONDecodeError:
            found[key] = text
    return found


_JSON_WORDS = {"True": "true", "False": "false", "None": "null"}  # as Python writes them
