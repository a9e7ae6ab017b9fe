"""A model as another tool counts it: the facts that `anyres analyze --as TOOL --json` prints."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from pydantic import ConfigDict, TypeAdapter

from anyres_analyzer.analysis import Analysis
from anyres_analyzer.cost.reconcile import Convention, Reconciliation, reconcile
from anyres_analyzer.report import compose
from anyres_analyzer.report.facts import Size

_DESCRIBED = ConfigDict(use_attribute_docstrings=True)


@dataclass(frozen=True)
class At:
    """One size, or why the model does not take it."""

    __pydantic_config__: ClassVar[ConfigDict] = _DESCRIBED

    size: Size
    refused: str | None
    counted: Reconciliation | None


@dataclass(frozen=True)
class Reconciled:
    """One model by one tool's conventions."""

    __pydantic_config__: ClassVar[ConfigDict] = _DESCRIBED

    model: str
    tool: str
    version: str
    """The release whose source was read and whose numbers were checked."""
    unit: str
    """What the tool calls its operations, and how many of them a multiply-add is."""
    looks_at: str
    parameters: str
    """What it counts as parameters."""
    at: tuple[At, ...]


def reconciled(
    name: str, analysis: Analysis, convention: Convention, sizes: Iterable[Size] = ()
) -> Reconciled:
    """The facts at `sizes`, by default two that the model takes."""
    asked = tuple(sizes) or compose.usual_sizes(analysis)
    return Reconciled(
        model=name,
        tool=convention.tool,
        version=convention.version,
        unit=convention.unit,
        looks_at=convention.looks_at,
        parameters=convention.parameters,
        at=tuple(_at(analysis, convention, size) for size in asked),
    )


def encoded(facts: Reconciled) -> str:
    """As JSON, indented."""
    return _RECONCILED.dump_json(facts, indent=2).decode()


_RECONCILED = TypeAdapter(Reconciled)


def _at(analysis: Analysis, convention: Convention, size: Size) -> At:
    refused = compose.cost_at(analysis, size).refused
    if refused is not None:
        return At(size, refused, None)
    width, height = size
    tensors = analysis.shapes.at(height, width)
    counted = reconcile(convention, analysis.graph, tensors, analysis.parameters)
    return At(size, None, counted)
