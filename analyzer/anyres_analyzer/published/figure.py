"""A published figure, and whether the analyzer finds the same in the network that it is about."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, TypeAlias

import onnx
from pydantic import ConfigDict, TypeAdapter

from anyres_analyzer.analysis import Analysis, analyze
from anyres_analyzer.errors import AnalysisError

Value: TypeAlias = int | float | str | tuple[int, ...]
_DESCRIBED = ConfigDict(use_attribute_docstrings=True)


@dataclass(frozen=True)
class Network:
    """A published network; `build` writes it down, without weights."""

    name: str
    build: Callable[[], onnx.ModelProto]


@dataclass(frozen=True)
class Figure:
    """What `source` says of a network, and how it is read off the analysis of it.

    Where it takes more than one network, `reading` takes as many analyses.
    """

    quantity: str
    expected: Value
    source: str
    reading: Callable[..., Value]
    networks: tuple[Network, ...]


@dataclass(frozen=True)
class Outcome:
    """One figure and what was found."""

    __pydantic_config__: ClassVar[ConfigDict] = _DESCRIBED

    network: str
    quantity: str
    expected: Value
    found: Value
    """A sentence where the network could not be analysed."""
    agrees: bool
    source: str
    """Who says what is expected."""


@dataclass(frozen=True)
class Verdict:
    """What `anyres selftest --json` prints."""

    __pydantic_config__: ClassVar[ConfigDict] = _DESCRIBED

    agrees: bool
    """Whether every figure does."""
    figures: tuple[Outcome, ...]


def check(figures: Iterable[Figure]) -> Verdict:
    """Find every figure anew; each network is built and analysed once."""

    @cache
    def analysed(network: Network) -> Analysis:
        return analyze(network.build())

    def outcome(figure: Figure) -> Outcome:
        try:
            found = figure.reading(*map(analysed, figure.networks))
        except AnalysisError as error:
            found = str(error)
        return Outcome(
            network=figure.networks[0].name,
            quantity=figure.quantity,
            expected=figure.expected,
            found=found,
            agrees=found == figure.expected,
            source=figure.source,
        )

    outcomes = tuple(map(outcome, figures))
    return Verdict(all(outcome.agrees for outcome in outcomes), outcomes)


def encoded(verdict: Verdict) -> str:
    """As JSON, indented."""
    return _VERDICT.dump_json(verdict, indent=2).decode()


_VERDICT = TypeAdapter(Verdict)
