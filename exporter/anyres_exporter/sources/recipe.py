"""A recipe: a TOML file that says how to build, describe and export one model.

    name = "mobilenet_v2_fcn"
    task = "classification"
    factory = "anyres_exporter.zoo.mobilenet_v2:MobileNetV2"   # or "timm:resnet18", "my_net.py:Net"
    graph = "model.onnx"              # instead of a factory: a graph that is there already
    convolutionalize = true           # turn the FC head into convolutions
    size = [224, 224]                 # (height, width) to trace at
    dynamic = true                    # leave H and W open
    any_size = "edge"                 # pad so to the step and crop back; or "reflect", "zero"
    pixels = "bytes"                  # take uint8 (n, h, w, c), scaled inside the graph
    answer = "argmax"                 # or softmax, sigmoid, top_k, mask; made inside, too
    top_k = 5                         # how many classes top_k gives
    threshold = 0.5                   # above which a mask is 1
    keep_logits = true                # beside the answer
    layout = "NHWC"                   # of outputs with channels
    opset = 17                        # by default the newest that is sound
    classes_file = "classes.txt"      # one name a line; or [[classes]] with name, colour, thing
    meanings = { depth = "values" }   # of outputs that are no logits; or "centres", "offsets"
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

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from anyres_exporter.errors import BadRecipe
from anyres_exporter.request import Sizes
from anyres_exporter.rewrite.batteries.batteries import (
    AnswerKind,
    Batteries,
    OutputLayout,
    Pixels,
)
from anyres_exporter.rewrite.pad_rule import PadMode
from anyres_proto.card import NAME, ClassName, Description, ImageInput, Meaning

PAD_MODES: dict[str, PadMode] = {"reflect": "reflect", "edge": "edge", "zero": "constant"}
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
    any_size: Literal["reflect", "edge", "zero"] | None = None
    opset: int | None = Field(ge=13, default=None)
    pixels: Pixels = "float"
    answer: AnswerKind = "logits"
    top_k: int = 5
    threshold: float = 0.5
    layout: OutputLayout = "NCHW"
    keep_logits: bool = False
    meanings: dict[str, Meaning] = Field(default_factory=dict)
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
        mode = PAD_MODES[self.any_size] if self.any_size else None
        return Sizes(self.size, self.dynamic, mode)
