"""Two models side by side: what each is, what each costs at the same sizes, and crops for a map.

A network with an FC head gives one answer for images of one size. To cover a larger image it runs
once for every crop; a fully convolutional one gives the same grid of answers in a single pass, in
which neighbouring windows share their work. What that saves is a ratio of multiply-adds.

Example (Long et al., 2015): AlexNet takes 227x227 at 724 406 816 MACs. Made fully convolutional it
answers a 500x500 image with a 10x10 grid at 9 324 092 192 MACs; 100 crops cost 7.77 times as much.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from pydantic import ConfigDict, TypeAdapter

from anyres_analyzer.analysis import Analysis
from anyres_analyzer.report import compose
from anyres_analyzer.report.facts import Cost, Report, Size

_DESCRIBED = ConfigDict(use_attribute_docstrings=True)


@dataclass(frozen=True)
class Side:
    """One of the two models."""

    __pydantic_config__: ClassVar[ConfigDict] = _DESCRIBED

    width: str
    """The widths it takes, in words: "227", "32, 64, ...", "at least 1"."""
    height: str
    report: Report
    """All else; its costs are those of the sizes compared, in their order."""


@dataclass(frozen=True)
class Crops:
    """How the model of one size gives the other's map: one crop for each of its pixels."""

    __pydantic_config__: ClassVar[ConfigDict] = _DESCRIBED

    size: Size
    """Of the image."""
    grid: Size
    """Answers across and down."""
    every: tuple[Fraction, Fraction]
    """Pixels from one crop to the next, across and down."""
    crop: Size
    crops: int
    macs: int
    """Of all crops together."""
    dense_macs: int
    """Of the one pass over the whole image."""
    ratio: float | None
    """How many times as much the crops cost; null where one pass multiplies nothing."""


@dataclass(frozen=True)
class Patchwise:
    """Crops for a map, at every size that the map's model takes; or why there is no such thing."""

    __pydantic_config__: ClassVar[ConfigDict] = _DESCRIBED

    by_crops: str | None
    """The model that runs on crops."""
    in_one_pass: str | None
    """The model that gives the map."""
    at: tuple[Crops, ...]
    does_not_apply: str | None


@dataclass(frozen=True)
class Comparison:
    """What `anyres compare --json` prints."""

    __pydantic_config__: ClassVar[ConfigDict] = _DESCRIBED

    sizes: tuple[Size, ...]
    first: Side
    second: Side
    patchwise: Patchwise


@dataclass(frozen=True)
class _Model:
    name: str
    analysis: Analysis

    @property
    def of_one_size(self) -> bool:
        """Whether it takes one size, or a few that give the same."""
        sizes = self.analysis.sizes
        return sizes.width.maximum is not None and sizes.height.maximum is not None

    @property
    def smallest(self) -> Size:
        sizes = self.analysis.sizes
        return sizes.width.minimum, sizes.height.minimum

    def takes(self, size: Size) -> bool:
        return self.cost(size).refused is None

    def cost(self, size: Size) -> Cost:
        return compose.cost_at(self.analysis, size)


def compare(
    first: tuple[str, Analysis], second: tuple[str, Analysis], sizes: Iterable[Size] = ()
) -> Comparison:
    """Both models, each with the name it is shown by, at `sizes` or at what each usually takes."""
    models = _Model(*first), _Model(*second)
    asked = tuple(dict.fromkeys(sizes)) or _usual(models)
    return Comparison(
        sizes=asked,
        first=_side(models[0], asked),
        second=_side(models[1], asked),
        patchwise=_patchwise(models, asked),
    )


def encoded(comparison: Comparison) -> str:
    """As JSON, indented; fractions are strings such as "1/2"."""
    return _COMPARISON.dump_json(comparison, indent=2).decode()


_COMPARISON = TypeAdapter(Comparison)


def _usual(models: tuple[_Model, _Model]) -> tuple[Size, ...]:
    usual = (size for model in models for size in compose.usual_sizes(model.analysis))
    return tuple(sorted(set(usual)))


def _side(model: _Model, sizes: tuple[Size, ...]) -> Side:
    contract = model.analysis.sizes
    report = compose.report(model.name, model.analysis, sizes)
    return Side(contract.width.expected(), contract.height.expected(), report)


def _patchwise(models: tuple[_Model, _Model], sizes: tuple[Size, ...]) -> Patchwise:
    dense = [model for model in models if model.analysis.output.dense]
    single = [model for model in models if not model.analysis.output.dense]
    if not single:
        return _none("both give a map of the whole image in one pass")
    if not dense:
        return _none("both give one answer for the whole image, neither a map")
    patches, whole = single[0], dense[0]
    if not patches.of_one_size:
        return _none(f"{patches.name} takes larger images whole, so nothing makes it crop")
    crop = next(filter(patches.takes, sizes), patches.smallest)
    at = (_crops(patches.cost(crop), whole, size) for size in sizes)
    found = tuple(crops for crops in at if crops is not None)
    if not found:
        return _none(f"{whole.name} takes none of these sizes")
    return Patchwise(patches.name, whole.name, found, None)


def _none(reason: str) -> Patchwise:
    return Patchwise(None, None, (), reason)


def _crops(one: Cost, whole: _Model, size: Size) -> Crops | None:
    dense = whole.cost(size)
    answers = dense.answers
    if dense.macs is None or one.macs is None or answers is None:
        return None
    crops = answers[0] * answers[1]
    down, across = whole.analysis.output.stride
    return Crops(
        size=size,
        grid=answers,
        every=(across, down),
        crop=one.size,
        crops=crops,
        macs=crops * one.macs,
        dense_macs=dense.macs,
        ratio=crops * one.macs / dense.macs if dense.macs else None,
    )
