"""A recipe: a TOML file that says how to build, describe and export one model.

    name = "mobilenet_v2_fcn"
    task = "classification"
    factory = "anyres_exporter.zoo.mobilenet_v2:MobileNetV2"   # or "timm:resnet18", "my_net.py:Net"
    graph = "model.onnx"              # instead of a factory: a graph that is there already
    convolutionalize = true           # turn the FC head into convolutions
    size = [224, 224]                 # (height, width) to trace at
    dynamic = true                    # leave H and W open
    any_size = "edge"                 # pad to the step and crop back, inside the graph
    pixels = "bytes"                  # take uint8 (n, h, w, c), scaled inside the graph
    answer = "argmax"                 # or softmax, sigmoid, top_k, mask; made inside, too
    top_k = 5                         # how many classes top_k gives
    threshold = 0.5                   # above which a mask is 1
    keep_logits = true                # beside the answer
    layout = "NHWC"                   # of outputs with channels
    values = ["depth"]                # outputs whose numbers are values: no logits
    opset = 17                        # by default the newest that is sound
    classes_file = "classes.txt"      # one name a line; or [[classes]] with name and colour
    [arguments]                       # of the factory
    [weights]
    file = "weights.safetensors"      # beside the recipe, or below the assets folder
    sha256 = "..."
    key = "model_ema"                 # the checkpoint's entry, where several hold weights
    [input]                           # fields of anyres_proto.card.ImageInput

A model built from a recipe is the same model everywhere: its weights are checked by their hash, and
no checkpoint is unpickled. What a library knows about a model of its own need not be said.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

import onnx
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import nn

from anyres_exporter.errors import BadRecipe
from anyres_exporter.request import Sizes
from anyres_exporter.rewrite.batteries.batteries import (
    AnswerKind,
    Batteries,
    OutputLayout,
    Pixels,
)
from anyres_exporter.sources.convolutionalize import convolutionalize
from anyres_exporter.sources.factory import from_code
from anyres_exporter.sources.families import from_family, is_family, known
from anyres_exporter.sources.graph import described, read_graph
from anyres_exporter.sources.weights import load_weights, sha256
from anyres_proto.card import NAME, ClassName, Description, ImageInput

RANDOM = "random"
_FOR_CODE = ("arguments", "weights", "convolutionalize")


class Weights(BaseModel):
    """A checkpoint: safetensors, or a state dict that `torch.load(weights_only=True)` reads."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    file: Path
    sha256: str | None = None
    key: str | None = None


class Recipe(BaseModel):
    """What a recipe file holds; `folder` is where it lies."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str = Field(pattern=NAME)
    description: str = ""
    task: Literal["classification", "segmentation", "regression", "unknown"] = "unknown"
    factory: str | None = None
    graph: Path | None = None
    arguments: dict[str, Any] = Field(default_factory=dict)
    weights: Weights | None = None
    convolutionalize: bool = False
    size: tuple[int, int] = (224, 224)
    dynamic: bool = True
    any_size: Literal["edge", "reflect", "constant"] | None = None
    opset: int | None = Field(ge=13, default=None)
    pixels: Pixels = "float"
    answer: AnswerKind = "logits"
    top_k: int = 5
    threshold: float = 0.5
    layout: OutputLayout = "NCHW"
    keep_logits: bool = False
    values: tuple[str, ...] = ()
    input: ImageInput = ImageInput()
    classes: tuple[ClassName, ...] = ()
    classes_file: Path | None = None
    folder: Path = Path()

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.factory is None) == (self.graph is None):
            raise ValueError("a recipe names a factory or a graph; one of them")
        of_code = [name for name in _FOR_CODE if getattr(self, name)]
        if self.graph is not None and of_code:
            raise ValueError(f"a graph is made already; it takes no {' and no '.join(of_code)}")
        return self

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

    def batteries(self) -> Batteries:
        """What the graph is to do beside the network."""
        return Batteries(
            self.pixels, self.answer, self.top_k, self.threshold, self.layout, self.keep_logits
        )

    def sizes(self) -> Sizes:
        """What is asked of H and W."""
        return Sizes(self.size, self.dynamic, self.any_size)


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
        for key in ("arguments", "input")
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

    Not the classes, where the factory is asked for a number of its own.
    """
    factory, graph = fields.get("factory"), fields.get("graph")
    found: dict[str, Any] = {}
    if isinstance(factory, str) and is_family(factory):
        found = known(factory)
    elif isinstance(graph, str | Path):
        found = described(fields.get("folder", Path()) / graph)
    if "classes_file" in fields or {"num_classes", "classes"} & set(fields.get("arguments", {})):
        found.pop("classes", None)
    return _over(found, fields)


def build(
    recipe: Recipe, assets: Path | None = None
) -> tuple[nn.Module | onnx.ModelProto, dict[str, str]]:
    """The model with its weights in eval mode, or the graph, and its provenance.

    Args:
        recipe: how.
        assets: where weights are looked for that do not lie beside the recipe.

    Raises:
        BadRecipe: the factory cannot be imported or called, the weights are missing, are not those
            of the hash, or do not fit the model, or the graph cannot be read.
    """
    if recipe.graph is not None:
        path = recipe.folder / recipe.graph
        return read_graph(path), {"graph_sha256": sha256(path)}
    return _built(recipe, assets)


def _built(recipe: Recipe, assets: Path | None) -> tuple[nn.Module, dict[str, str]]:
    assert recipe.factory is not None, "a recipe without a graph names a factory"
    make = from_family if is_family(recipe.factory) else from_code
    model = make(recipe.factory, recipe.arguments)
    provenance = {"factory": recipe.factory}
    if recipe.weights is None:
        provenance["weights"] = RANDOM if is_family(recipe.factory) else "as the factory gave them"
    else:
        path = _found(recipe, recipe.weights, assets)
        digest = sha256(path)
        if recipe.weights.sha256 not in (None, digest):
            raise BadRecipe(
                f"{path} is not the file that recipe '{recipe.name}' was written for: "
                f"its sha256 is {digest}, expected {recipe.weights.sha256}"
            )
        load_weights(model, path, recipe.weights.key)
        provenance["weights_sha256"] = digest
    if recipe.convolutionalize:
        model = convolutionalize(model, probe=recipe.size)
        provenance["convolutionalized"] = "true"
    return model.eval(), provenance


def _found(recipe: Recipe, weights: Weights, assets: Path | None) -> Path:
    places = [folder / weights.file for folder in (recipe.folder, assets) if folder is not None]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise BadRecipe(
            f"the weights of recipe '{recipe.name}' are not there; looked at "
            + " and ".join(str(place) for place in places)
        )
    return path
