"""A recipe: a TOML file that says how to build, describe and export one model.

    name = "mobilenet_v2_fcn"
    task = "classification"
    factory = "anyres_exporter.zoo.mobilenet_v2:MobileNetV2"   # any importable factory
    convolutionalize = true           # turn the FC head into convolutions
    size = [224, 224]                 # (height, width) to trace at
    dynamic = true                    # leave H and W open
    any_size = "edge"                 # pad to the step and crop back, inside the graph
    classes_file = "classes.txt"      # one name a line; or [[classes]] with name and colour
    [arguments]                       # of the factory
    [weights]
    file = "weights.safetensors"      # beside the recipe, or below the assets folder
    sha256 = "..."
    [input]                           # fields of anyres_proto.card.ImageInput

A model built from a recipe is the same model everywhere: its weights are checked by their hash, and
no checkpoint is unpickled.
"""

from __future__ import annotations

import importlib
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import nn

from anyres_exporter.errors import BadRecipe
from anyres_exporter.request import Sizes
from anyres_exporter.sources.convolutionalize import convolutionalize
from anyres_exporter.sources.weights import load_weights, sha256
from anyres_proto.card import NAME, ClassName, Description, ImageInput


class Weights(BaseModel):
    """A checkpoint: safetensors, or a state dict that `torch.load(weights_only=True)` reads."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    file: Path
    sha256: str | None = None


class Recipe(BaseModel):
    """What a recipe file holds; `folder` is where it lies."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str = Field(pattern=NAME)
    description: str = ""
    task: Literal["classification", "segmentation", "regression", "unknown"] = "unknown"
    factory: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    weights: Weights | None = None
    convolutionalize: bool = False
    size: tuple[int, int] = (224, 224)
    dynamic: bool = True
    any_size: Literal["edge", "constant"] | None = None
    input: ImageInput = ImageInput()
    classes: tuple[ClassName, ...] = ()
    classes_file: Path | None = None
    folder: Path = Path()

    def describe(self) -> Description:
        """What the card will say in the author's words.

        Raises:
            BadRecipe: the classes file is missing.
        """
        return Description(
            name=self.name,
            description=self.description,
            task=self.task,
            input=self.input,
            classes=self.classes or self._classes(),
        )

    def _classes(self) -> tuple[ClassName, ...]:
        if self.classes_file is None:
            return ()
        path = self.folder / self.classes_file
        if not path.is_file():
            raise BadRecipe(f"{path}, the classes of recipe '{self.name}', does not exist")
        return tuple(ClassName(name=line) for line in path.read_text("utf-8").splitlines())

    def sizes(self) -> Sizes:
        """What is asked of H and W."""
        return Sizes(self.size, self.dynamic, self.any_size)


def read(path: Path) -> Recipe:
    """A recipe file.

    Raises:
        BadRecipe: it is missing, no TOML, or says something that no recipe says.
    """
    try:
        fields = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise BadRecipe(f"{path}: {error.strerror or error}") from error
    except tomllib.TOMLDecodeError as error:
        raise BadRecipe(f"{path} is not TOML: {error}") from error
    return parse(fields | {"folder": path.parent}, str(path))


def parse(fields: Mapping[str, Any], source: str) -> Recipe:
    """A recipe from its fields; `source` is named in errors.

    Raises:
        BadRecipe: a field is missing, unknown, or of the wrong kind.
    """
    try:
        return Recipe.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadRecipe(f"{source}: {where}: {first['msg']}") from error


def build(recipe: Recipe, assets: Path | None = None) -> tuple[nn.Module, dict[str, str]]:
    """The model with its weights, in eval mode, and its provenance.

    Args:
        recipe: how.
        assets: where weights are looked for that do not lie beside the recipe.

    Raises:
        BadRecipe: the factory cannot be imported or called, or the weights are missing, are not
            those of the hash, or do not fit the model.
    """
    model = _called(recipe)
    provenance = {"factory": recipe.factory}
    if recipe.weights is not None:
        path = _found(recipe, recipe.weights, assets)
        digest = sha256(path)
        if recipe.weights.sha256 not in (None, digest):
            raise BadRecipe(
                f"{path} is not the file that recipe '{recipe.name}' was written for: "
                f"its sha256 is {digest}, expected {recipe.weights.sha256}"
            )
        load_weights(model, path)
        provenance["weights_sha256"] = digest
    if recipe.convolutionalize:
        model = convolutionalize(model, probe=recipe.size)
        provenance["convolutionalized"] = "true"
    return model.eval(), provenance


def _called(recipe: Recipe) -> nn.Module:
    factory = _imported(recipe.factory)
    try:
        model = factory(**recipe.arguments)
    except Exception as error:
        raise BadRecipe(f"calling factory '{recipe.factory}' failed: {_said(error)}") from error
    if not isinstance(model, nn.Module):
        raise BadRecipe(f"{recipe.factory} gave a {type(model).__name__}, not a torch.nn.Module")
    return model


def _imported(factory: str) -> Callable[..., object]:
    module, _, name = factory.partition(":")
    if not name:
        raise BadRecipe(f"'{factory}' is no factory; write package.module:name")
    try:
        found: object = getattr(importlib.import_module(module), name)
    except AttributeError as error:
        raise BadRecipe(f"module '{module}' has no '{name}'") from error
    except Exception as error:
        raise BadRecipe(
            f"cannot import '{module}' of factory '{factory}': {_said(error)}"
        ) from error
    if not callable(found):
        raise BadRecipe(f"'{factory}' cannot be called; a factory is a class or a function")
    return found


def _said(error: Exception) -> str:
    """Somebody else's code may raise anything; this is its boundary."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _found(recipe: Recipe, weights: Weights, assets: Path | None) -> Path:
    places = [folder / weights.file for folder in (recipe.folder, assets) if folder is not None]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise BadRecipe(
            f"the weights of recipe '{recipe.name}' are not there; looked at "
            + " and ".join(str(place) for place in places)
        )
    return path
