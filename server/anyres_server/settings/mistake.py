"""A setting that cannot be, in words: where it stands, what was expected, what comes nearest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, TypeAlias

from pydantic import BaseModel, SecretBytes, SecretStr, ValidationError
from pydantic.fields import FieldInfo

Key: TypeAlias = tuple[str, ...]  # ("memory", "budget")


class Mistake(Exception):
    """A setting that cannot be; its message says where it stands and what was expected."""


def fields(kind: type[BaseModel], table: Key = ()) -> Iterator[tuple[Key, FieldInfo]]:
    """Every setting of a class of settings, those in tables too, and what it is."""
    for name, field in kind.model_fields.items():
        if inner := table_of(field):
            yield from fields(inner, (*table, name))
        else:
            yield (*table, name), field


def table_of(field: FieldInfo) -> type[BaseModel] | None:
    """The class of a field that is a table."""
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def is_secret(field: FieldInfo) -> bool:
    """Whether its value must not be shown."""
    return any(secret.__name__ in str(field.annotation) for secret in (SecretStr, SecretBytes))


def blamed(kind: type[BaseModel], error: ValidationError) -> tuple[Key, str]:
    """The setting that is wrong first, and what is wrong with it."""
    first = error.errors(include_url=False)[0]
    known = dict(fields(kind))
    where = tuple(map(str, first["loc"]))
    key = next((where[:n] for n in range(len(where), 0, -1) if where[:n] in known), where)
    if first["type"] == "extra_forbidden":
        return where, unknown(kind, where)
    if first["type"] == "missing":
        return key, f"{dotted(key)} is missing"
    return key, f"{dotted(key)}: {_expected(first)}{_got(first, known.get(key))}"


def unknown(kind: type[BaseModel], key: Key) -> str:
    """What to say of a setting that there is not."""
    names = [dotted(each) for each, _ in fields(kind)]
    tables = [dotted(each[:-1]) for each, _ in fields(kind) if len(each) > 1]
    near = get_close_matches(dotted(key), [*names, *dict.fromkeys(tables)], n=1, cutoff=0.5)
    return f"there is no setting {dotted(key)}" + (f"; the nearest is {near[0]}" if near else "")


def dotted(key: Key) -> str:
    """As it is written: "memory.budget"."""
    return ".".join(key)


def _expected(error: Mapping[str, Any]) -> str:
    if error["type"] == "path_type":
        return "expected a path"
    said = str(error["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")
    return said if said.startswith("expected") else f"expected {said}"


def _got(error: Mapping[str, Any], field: FieldInfo | None) -> str:
    if field is None or is_secret(field) or isinstance(error["input"], dict):
        return ""
    return f"; got {error['input']!r}"
