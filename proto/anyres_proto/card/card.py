"""The whole card, and what of it an author says."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from anyres_proto.card.cost import Cost
from anyres_proto.card.geometry import Padding, ReceptiveField, SizeContract, Tiling
from anyres_proto.card.part import Part
from anyres_proto.card.proof import Conversion, Precision, Proof
from anyres_proto.card.tensors import ClassName, ImageInput, Meaning, Output

METADATA_KEY = "anyres.card"
NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"  # of a model; it is a file's name too


class Description(Part):
    """What a model's author says about it; the rest of a card is derived and proven."""

    name: str = Field(pattern=NAME)
    description: str = ""
    task: Literal["classification", "segmentation", "regression", "unknown"]
    input: ImageInput = ImageInput()
    classes: tuple[ClassName, ...] = ()


class Card(Description):
    """Everything a model says about itself."""

    schema_version: Literal[1] = 1
    outputs: tuple[Output, ...] = Field(min_length=1)
    sizes: SizeContract
    padding: Padding | None = None
    receptive_field: ReceptiveField | None = None
    tiling: Tiling = Tiling()
    parameters: int = Field(ge=0, default=0)
    cost: Cost | None = None
    proofs: tuple[Proof, ...] = ()
    conversion: Conversion | None = None
    precision: Precision | None = None
    provenance: dict[str, str] = Field(default_factory=dict)

    @property
    def output(self) -> Output:
        """The first output: the one that is served, and that `tiling` and the field speak of."""
        return self.outputs[0]

    @property
    def views(self) -> tuple[Output, ...]:
        """The first output, and the others that are made of the same scores."""
        first, *others = self.outputs
        return (first, *(each for each in others if each.source and each.source == first.source))

    def meaning(self, wanted: Meaning) -> Output | None:
        """The first output that means this; None where none does."""
        return next((output for output in self.outputs if output.meaning == wanted), None)

    @property
    def things(self) -> tuple[int, ...]:
        """The classes that are things, in their order."""
        return tuple(index for index, each in enumerate(self.classes) if each.thing)

    @property
    def scores(self) -> Output | None:
        """The view that is nearest to the network's own answer; None where the graph keeps none."""
        by_meaning = {view.meaning: view for view in reversed(self.views)}
        found = (by_meaning.get(meaning) for meaning in ("logits", "probabilities", "values"))
        return next((view for view in found if view), None)
