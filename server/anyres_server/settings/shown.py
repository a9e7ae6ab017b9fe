"""Settings as people read them: a whole commented TOML, or a line for each that was given."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from textwrap import wrap
from typing import Any, get_args

from pydantic import BaseModel, SecretBytes, SecretStr
from pydantic.fields import FieldInfo

from anyres_server.settings.mistake import Key, dotted, fields, is_secret, table_of
from anyres_server.settings.reading import variable
from anyres_server.settings.units import Unit, readable_bytes

HIDDEN = "**********"
WIDTH = 100
HEAD = """\
# What `anyres serve` runs with; `anyres serve --config FILE` reads a file like this one.
# Each setting can be given in the environment too, and as --set TABLE.NAME=VALUE; flags win over
# the environment, the environment over the file. Sizes may be written "512 MiB", durations "1m30s".
"""


def as_toml(settings: BaseModel, origins: Mapping[Key, str]) -> str:
    """A whole configuration file that says what is in force, and where each setting comes from."""
    return HEAD + "".join(_table(settings, (), origins))


def given(settings: BaseModel, origins: Mapping[Key, str]) -> Iterator[str]:
    """What is in force because somebody said it: "memory.budget = 2 GiB (server.toml:3)"."""
    for key, field in fields(type(settings)):
        if key in origins:
            yield f"{dotted(key)} = {_value(_at(settings, key), field)} ({origins[key]})"


def _table(values: BaseModel, table: Key, origins: Mapping[Key, str]) -> Iterator[str]:
    kinds = type(values).model_fields
    for name, field in kinds.items():
        if not table_of(field):
            yield from _setting((*table, name), getattr(values, name), field, origins)
    for name, field in kinds.items():
        if inner := table_of(field):
            yield f"\n\n# {(inner.__doc__ or '').strip().splitlines()[0]}\n[{name}]\n"
            yield from _table(getattr(values, name), (*table, name), origins)


def _setting(key: Key, value: Any, field: FieldInfo, origins: Mapping[Key, str]) -> Iterator[str]:
    unit = _unit(field)
    said = "; ".join(filter(None, (field.description, f"in {unit}" if unit else "")))
    told = f", here by {origins[key]}" if key in origins else ""
    yield "\n"
    for line in wrap(f"{said[:1].upper()}{said[1:]}. ({variable(key)}{told})", WIDTH - 2):
        yield f"# {line}\n"
    unsaid = value is None or (is_secret(field) and value)
    yield f"{'# ' if unsaid else ''}{key[-1]} = {_value(value, field)}\n"


def _value(value: Any, field: FieldInfo) -> str:
    """As it is written in TOML."""
    if is_secret(field) and value:
        return _toml(HIDDEN)
    if _unit(field) == "bytes" and isinstance(value, int):
        return _toml(readable_bytes(value))
    return _toml(_plain(value))


def _plain(value: Any) -> Any:
    match value:
        case Enum():
            return value.value
        case Path():
            return str(value)
        case SecretStr() | SecretBytes():
            return HIDDEN if value else ""
        case BaseModel():
            return _plain(value.model_dump())
        case Mapping():
            return {str(name): _plain(each) for name, each in value.items() if each is not None}
        case list() | tuple() | set() | frozenset():
            return [_plain(each) for each in value]
        case _:
            return value


def _toml(value: Any) -> str:
    match value:
        case None:
            return "..."
        case bool():
            return str(value).lower()
        case dict():
            return "{" + ", ".join(f"{_toml(n)} = {_toml(v)}" for n, v in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(_toml, value)) + "]"
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
        case _:
            return str(value)


def _unit(field: FieldInfo) -> str | None:
    """Of a setting's number, also where it may be left out."""
    metadata = [*field.metadata]
    for kind in get_args(field.annotation):
        metadata += getattr(kind, "__metadata__", ())
    return next((fact.name for fact in metadata if isinstance(fact, Unit)), None)


def _at(settings: BaseModel, key: Key) -> Any:
    value: Any = settings
    for name in key:
        value = getattr(value, name)
    return value
