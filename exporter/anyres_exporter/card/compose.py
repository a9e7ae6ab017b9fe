"""A card from an analysis: what the graph says, next to what a person says about the model.

What the graph says (sizes, field, tiles, cost, the output's geometry) is derived here and nowhere
else in this package; what it cannot say (the task, the colours, what the pixels were divided by) is
a `Description`. Where the person says nothing, the usual is written and named as an assumption.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from types import MappingProxyType
from typing import Literal, TypeAlias

from anyres_analyzer import Analysis
from anyres_analyzer import output as analysed
from anyres_analyzer.cost.formula import Formula as AnalysedFormula
from anyres_analyzer.cost.formula import Polynomial
from anyres_analyzer.errors import Inadmissible
from anyres_proto.card import (
    Card,
    ClassName,
    Cost,
    CostAt,
    Description,
    Formula,
    ImageInput,
    Meaning,
    Output,
    Padding,
    Proof,
    Term,
)

Task: TypeAlias = Literal["classification", "segmentation", "regression", "unknown"]
Colour: TypeAlias = Literal["RGB", "BGR", "GRAY"]

COST_SIDES = (224, 512, 1024)
UNPROVEN = "derived from the graph, not proven"
_SCORES = ("logits", "probabilities", "values")
_PIXELS = ("float32", "uint8")


def composed(
    description: Description,
    analysis: Analysis,
    *,
    provenance: dict[str, str],
    meaning: Meaning | None = None,
    meanings: Mapping[str, Meaning] = MappingProxyType({}),
    padding: Padding | None = None,
    proofs: tuple[Proof, ...] = (),
) -> Card:
    """The card of an analysed graph.

    Args:
        description: what a person says.
        analysis: what the graph says.
        provenance: where the model comes from; our version and onnx's are added.
        meaning: of the output's numbers; by default what its last layer makes of them.
        meanings: of single outputs by their names, whatever the others are.
        padding: what the graph pads and crops by itself.
        proofs: the sizes at which it was compared.
    """
    return Card.model_validate(
        {
            **dict(description),
            "outputs": tuple(
                _output(output, meanings.get(output.name, meaning), description.task)
                for output in analysis.outputs
            ),
            "sizes": analysis.sizes,
            "padding": padding,
            "receptive_field": analysis.receptive_field,
            "tiling": analysis.tiling,
            "parameters": analysis.parameters,
            "cost": _cost(analysis),
            "proofs": proofs,
            "provenance": provenance | {name: version(name) for name in ("anyres", "onnx")},
        }
    )


@dataclass(frozen=True)
class Told:
    """What a person says about a foreign model; None where nothing was said."""

    name: str
    description: str = ""
    task: Task | None = None
    meaning: Meaning | None = None
    classes: tuple[ClassName, ...] = ()
    colour: Colour | None = None
    scale: float | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


def derived(told: Told, analysis: Analysis) -> Card:
    """The card of a foreign model: nothing in it is proven, and what it assumes is named.

    Raises:
        pydantic.ValidationError: what was said does not fit the graph's channels.
    """
    channels = analysis.input.channels
    usual: dict[str, object] = {
        "colour": "GRAY" if channels == 1 else "RGB",
        "scale": ImageInput.model_fields["scale"].default,
        "mean": (0.0,) * channels,
        "std": (1.0,) * channels,
    }
    said = {key: value for key in usual if (value := getattr(told, key)) is not None}
    taken = analysis.input
    dtype = taken.dtype if taken.dtype in _PIXELS else "float32"
    description = Description(
        name=told.name,
        description=told.description,
        task=told.task or "unknown",
        input=ImageInput.model_validate(
            {
                "name": taken.name,
                "channels": channels,
                "dtype": dtype,
                "layout": taken.layout,
            }
            | usual
            | said
        ),
        classes=told.classes,
    )
    provenance = {"card": UNPROVEN}
    unsaid = [key for key in usual if key not in said]
    assumed = [f"input.{key}" for key in unsaid if dtype != "uint8" or key == "colour"]
    assumed += ["output.meaning"] if told.meaning is None else []
    if assumed:
        provenance["assumed"] = ", ".join(assumed)
    return composed(description, analysis, provenance=provenance, meaning=told.meaning)


def _output(output: analysed.Output, meaning: Meaning | None, task: Task) -> Output:
    """Scores mean what a person says; what is made of scores in the graph, the graph says."""
    scores = output.meaning in _SCORES
    usual = "values" if task == "regression" else output.meaning
    said = {"meaning": meaning or usual} if scores else {}
    return Output.model_validate(output).model_copy(update=said)


def _cost(analysis: Analysis) -> Cost:
    at = tuple(_costs(analysis))
    formula = analysis.formula(at[-1].height, at[-1].width) if at else None
    return Cost(at=at, formula=_formula(formula) if formula else None)


def _costs(analysis: Analysis) -> Iterator[CostAt]:
    """At some usual sizes that the model takes, or the one that it was made for."""
    height, width = analysis.sizes.height, analysis.sizes.width
    for size in dict.fromkeys((height.at_least(n), width.at_least(n)) for n in COST_SIDES):
        try:
            cost = analysis.cost(*size)
        except Inadmissible:  # axes that are tied to each other
            continue
        yield CostAt(
            width=size[1], height=size[0], macs=cost.macs, activation_bytes=cost.activation_bytes
        )


def _formula(formula: AnalysedFormula) -> Formula:
    (height, width), (per_height, per_width) = formula.lattice.start, formula.lattice.period
    return Formula(
        period=(per_width, per_height),
        remainder=(width % per_width, height % per_height),
        minimum=(width, height),
        macs=_terms(formula.macs),
        activation_bytes=tuple(_terms(moment.activation_bytes) for moment in formula.moments),
    )


def _terms(polynomial: Polynomial) -> tuple[Term, ...]:
    return tuple(
        Term(coefficient=coefficient, height=height, width=width)
        for (height, width), coefficient in polynomial.monomials().items()
    )
