"""What is to be exported: a target and what is said besides become one recipe.

What is said on the command line comes before what a recipe's file says, and that before what a
library or a card knows.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from anyres_exporter.errors import BadRecipe
from anyres_exporter.sources.families import is_family, known
from anyres_exporter.sources.graph import described
from anyres_exporter.sources.recipe import Recipe

VALUES = "values"  # an output of ours, and the argument that makes it


def of_target(target: str, said: Mapping[str, Any]) -> Recipe:
    """The recipe that a target is, or that exports it.

    Args:
        target: RECIPE.toml, MODEL.onnx, a factory, or a library's model.
        said: fields that come before the target's own.

    Raises:
        BadRecipe: it is none of these, or wrong.
    """
    path = Path(target)
    if path.suffix == ".toml":
        return read(path, said)
    if path.suffix == ".onnx":
        return parse({"graph": path.absolute()} | dict(said), target)
    if ":" not in target:
        raise BadRecipe(
            f"'{target}' is nothing to export; expected RECIPE.toml, MODEL.onnx, "
            "package.module:factory, file.py:factory, or a library's model, like timm:resnet18"
        )
    named = {} if is_family(target) else {"name": target.rpartition(":")[2].lower()}
    return parse(named | {"factory": target} | dict(said), target)


def read(path: Path, said: Mapping[str, Any] | None = None) -> Recipe:
    """A recipe file; what is said besides comes before what it says.

    Raises:
        BadRecipe: it is missing, no TOML, or says something that no recipe says.
    """
    try:
        fields = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise BadRecipe(f"{path}: {error.strerror or error}") from error
    except tomllib.TOMLDecodeError as error:
        raise BadRecipe(f"{path} is not TOML: {error}") from error
    return parse(_over(fields, said or {}) | {"folder": path.parent}, str(path))


def _over(fields: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """Tables are merged, but for weights: a checkpoint's hash and key are its own."""
    merged = {
        key: dict(fields[key]) | dict(said[key])
        for key in ("arguments", "input", "meanings")
        if key in fields and key in said
    }
    found = dict(fields) | dict(said) | merged
    if "classes" in said:
        found.pop("classes_file", None)
    return found


def parse(fields: Mapping[str, Any], source: str) -> Recipe:
    """A recipe from its fields; `source` is named in errors.

    Raises:
        BadRecipe: a field is missing, unknown, or of the wrong kind.
    """
    try:
        return Recipe.model_validate(_completed(fields))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        said = first["msg"].removeprefix("Value error, ")
        raise BadRecipe(f"{source}: {f'{where}: ' if where else ''}{said}") from error


def _completed(fields: Mapping[str, Any]) -> dict[str, Any]:
    """With what a library or a card knows, where nothing else is said.

    Not the classes, where the factory is asked for a number of its own. A classifier of ours has
    values beside its classes only where it is asked for some.
    """
    factory, graph = fields.get("factory"), fields.get("graph")
    found: dict[str, Any] = {}
    if isinstance(factory, str) and is_family(factory):
        found = known(factory)
    elif isinstance(graph, str | Path):
        found = described(fields.get("folder", Path()) / graph)
    if "classes_file" in fields or {"num_classes", "classes"} & set(fields.get("arguments", {})):
        found.pop("classes", None)
    if VALUES not in fields.get("arguments", {}):
        meanings = found.get("meanings", {})
        found["meanings"] = {name: meanings[name] for name in meanings if name != VALUES}
    return _over(found, fields)
