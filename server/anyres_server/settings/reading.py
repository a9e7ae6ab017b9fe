"""Where settings come from, the later over the earlier: defaults, a TOML file, environment, flags.

    memory.budget    [memory] budget = "2 GiB"    ANYRES_MEMORY_BUDGET=2GiB    --memory-budget 2GiB

A mistake is told by where it stands: "server.toml:3", "ANYRES_MEMORY_BUDGET", "--memory-budget".
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from anyres_server.settings.mistake import Key, Mistake, blamed, dotted, fields, unknown
from anyres_server.settings.settings import Settings
from anyres_server.settings.toml import Written, read_toml

PREFIX = "ANYRES_"
NO_MODELS = (
    "no models: name a folder (`anyres serve FOLDER`), or set ANYRES_MODELS, or `models` in the "
    "configuration file"
)


@dataclass(frozen=True)
class Given:
    """A value, and where it was given."""

    value: Any
    where: str


@dataclass(frozen=True)
class Read:
    """Settings, and where each that was given was given."""

    settings: Settings
    origins: Mapping[Key, str]
    ignored: tuple[str, ...]  # variables that are somebody else's


def read_settings(
    flags: Mapping[Key, Given], environment: Mapping[str, str], config: Path | None
) -> Read:
    """Put together what was said in all places.

    Raises:
        Mistake: something there cannot be; says where and what was expected.
    """
    given = {**_from_file(config), **_from_environment(environment), **flags}
    try:
        settings = Settings.model_validate(_nested(given))
    except ValidationError as error:
        key, what = blamed(Settings, error)
        if key == ("models",) and key not in given:
            raise Mistake(NO_MODELS) from error
        raise Mistake(f"{_where(key, given)}{what}") from error
    links = tuple(name for name, value in environment.items() if _is_link(name, value))
    return Read(settings, {key: each.where for key, each in given.items()}, links)


def known() -> Mapping[Key, FieldInfo]:
    """Every setting."""
    return dict(fields(Settings))


def variable(key: Key) -> str:
    """A setting's name in the environment."""
    return PREFIX + "_".join(key).upper()


def parsed(text: str) -> Any:
    """A value as it is written outside a file: TOML where it is a list or table, else itself."""
    if not text.lstrip().startswith(("[", "{")):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _from_file(config: Path | None) -> dict[Key, Given]:
    if config is None:
        return {}
    try:
        written = read_toml(config)
    except OSError as error:
        raise Mistake(f"{config} cannot be read: {error.strerror}") from error
    return {key: Given(value, where) for key, value, where in _leaves(written)}


def _leaves(written: Written) -> Iterator[tuple[Key, Any, str]]:
    settings = known()
    tables = {key[:-1] for key in settings if len(key) > 1}

    def walk(values: Mapping[str, Any], table: Key) -> Iterator[tuple[Key, Any]]:
        for name, value in values.items():
            key = (*table, name)
            if key in tables and isinstance(value, Mapping):
                yield from walk(value, key)
            else:
                yield key, value

    for key, value in walk(written.values, ()):
        if key in tables or key not in settings:
            why = f"{dotted(key)} is a table" if key in tables else unknown(Settings, key)
            raise Mistake(f"{written.where(key)}: {why}")
        is_path = "Path" in str(settings[key].annotation) and isinstance(value, str)
        yield key, written.path.parent / value if is_path else value, written.where(key)


def _from_environment(environment: Mapping[str, str]) -> dict[Key, Given]:
    """The settings among the variables.

    A table's own name is none of its settings, so a variable of that name is somebody else's.
    """
    names = {variable(key): key for key in known()}
    tables = tuple(f"{variable(key[:-1])}_" for key in names.values() if len(key) > 1)
    for name in sorted(environment):
        if name.startswith(tables) and name not in names:
            raise Mistake(f"{name}: {unknown(Settings, _key(name))}")
    return {
        key: Given(parsed(environment[name]), name)
        for name, key in names.items()
        if name in environment and not _is_link(name, environment[name])
    }


def _key(name: str) -> Key:
    table, _, rest = name.removeprefix(PREFIX).lower().partition("_")
    return (table, rest)


def _is_link(name: str, value: str) -> bool:
    """What Kubernetes puts into ANYRES_PORT beside a service named `anyres`: its address."""
    return name == f"{PREFIX}PORT" and value.startswith(("tcp://", "udp://"))


def _nested(given: Mapping[Key, Given]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for key, each in given.items():
        table = nested
        for name in key[:-1]:
            table = table.setdefault(name, {})
        table[key[-1]] = each.value
    return nested


def _where(key: Key, given: Mapping[Key, Given]) -> str:
    """Of a setting, or of the first that was given of its table."""
    near = (each.where for other, each in given.items() if other[: len(key)] == key)
    where = next(near, "")
    return f"{where}: " if where else ""
