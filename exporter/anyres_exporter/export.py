"""Export: a model and what its author says about it become one ONNX file that has been proven.

    trace ─┐
           ├─> analyse ─> rewrite (any size, opset) ─> prove ─> compose the card ─> write
    open ──┘

A PyTorch model is traced; a graph that is there already has its axes opened. Declared is not
proven: an axis is left dynamic only where the analyzer finds every size of the contract admissible
and ONNX Runtime agrees with the original (eager PyTorch, or the graph as it was given) on numbers.
Otherwise nothing is written, and the error names the node.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import onnx
import torch
from torch import nn

from anyres_analyzer import Analysis, analyze
from anyres_analyzer.errors import AnalysisError
from anyres_exporter.card.compose import composed
from anyres_exporter.card.write import write
from anyres_exporter.errors import NotExportable, NotProven
from anyres_exporter.proof import culprit
from anyres_exporter.proof.compare import Comparison, compare
from anyres_exporter.proof.original import Original
from anyres_exporter.proof.refusal import PIN, refuse_fixed
from anyres_exporter.proof.sizes import Size, sizes_of
from anyres_exporter.request import Sizes
from anyres_exporter.rewrite.any_size import AnySize, wrapped
from anyres_exporter.rewrite.opened import opened
from anyres_exporter.rewrite.pad_rule import PadRule, pad_rule
from anyres_exporter.trace.tidy import tidy
from anyres_exporter.trace.trace import trace, traceable
from anyres_proto.card import Description, Proof

Report = Callable[[Comparison], None]


@dataclass(frozen=True)
class Subject:
    """A graph, and what it has to be.

    `only` are the sizes at which the original can be asked, where those are not all that the graph
    is said to take.
    """

    graph: onnx.ModelProto
    oracle: nn.Module
    only: tuple[Size, ...] = ()


def export(
    model: nn.Module | onnx.ModelProto,
    description: Description,
    folder: Path,
    *,
    sizes: Sizes,
    opset: int | None = None,
    provenance: dict[str, str] | None = None,
    report: Report = lambda comparison: None,
) -> Path:
    """Write `<folder>/<name>.onnx` and return its path.

    Args:
        model: (n, c, h, w) float32 to one tensor or several (a dict, tuple or dataclass), each
            (n, channels, h', w') or (n, channels); or a graph of that kind.
        description: name, task, input, classes.
        folder: where to write; made if missing.
        sizes: what is asked of H and W.
        opset: of the default domain; by default the newest that is sound.
        provenance: what the card records of where the model comes from.
        report: called with every comparison of the proof as it is made.

    Raises:
        NotExportable: torch could not trace the model, or nothing can be said about its graph.
        NotProven: an axis that was to be dynamic is fixed, or the graph is not the model.
    """
    if isinstance(model, onnx.ModelProto):
        subject = _given(model, sizes)
    else:
        subject = _traced(model.eval(), description, sizes, folder)
    analysis = _analysed(subject.graph, description.name)
    if sizes.dynamic:
        refuse_fixed(analysis, description.name)
    rule = pad_rule(analysis, sizes.any_size) if sizes.any_size else None
    if rule is not None:
        subject = _padded(subject, rule)
    analysis = _analysed(subject.graph, description.name)
    proofs = _proven(subject, analysis, description, report)
    card = composed(
        description,
        analysis,
        provenance=(provenance or {}) | {"torch": version("torch")},
        padding=rule.padding if rule else None,
        proofs=proofs,
    )
    return write(subject.graph, card, folder)


def _traced(model: nn.Module, description: Description, sizes: Sizes, folder: Path) -> Subject:
    example = torch.zeros(2, description.input.channels, *sizes.traced)
    model, names = traceable(model, example)
    log = folder / f"{description.name}.export.log"
    graph = trace(model, example, names, dynamic_size=sizes.dynamic, opset=20, log=log)
    tidy(graph)
    return Subject(graph, model)


def _given(model: onnx.ModelProto, sizes: Sizes) -> Subject:
    """A graph is its own original, at the sizes that it was made for."""
    oracle = Original(model)
    if not sizes.dynamic:
        return Subject(model, oracle)
    declared = analyze(model)
    pinned = (declared.sizes.height.maximum, declared.sizes.width.maximum) != (None, None)
    return Subject(opened(model), oracle, only=tuple(sizes_of(declared)) if pinned else ())


def _analysed(graph: onnx.ModelProto, name: str) -> Analysis:
    try:
        return analyze(graph)
    except AnalysisError as error:
        raise NotExportable(f"the graph of '{name}' cannot be analysed: {error}") from error


def _padded(subject: Subject, rule: PadRule) -> Subject:
    return replace(
        subject,
        graph=wrapped(subject.graph, rule),
        oracle=AnySize(subject.oracle, rule).eval(),
    )


def _proven(
    subject: Subject, analysis: Analysis, description: Description, report: Report
) -> tuple[Proof, ...]:
    channels = description.input.channels
    found: list[Proof] = []
    sizes = subject.only or sizes_of(analysis)
    for comparison in compare(subject.oracle, subject.graph, sizes, channels):
        report(comparison)
        if not comparison.agrees:
            node = culprit.find(subject.oracle, subject.graph, comparison, channels)
            breakers = analysis.tiling.breakers
            raise _not_proven(description, comparison, node or (breakers[0] if breakers else None))
        found.append(
            Proof(
                batch=comparison.batch,
                height=comparison.height,
                width=comparison.width,
                max_abs_error=comparison.max_abs_error,
                max_rel_error=comparison.max_rel_error,
                argmax_agreement=comparison.argmax_agreement,
            )
        )
    return tuple(found)


def _not_proven(description: Description, comparison: Comparison, node: str | None) -> NotProven:
    return NotProven(
        f"'{description.name}' is not the model at {comparison.width}x{comparison.height} "
        f"(batch {comparison.batch}): {comparison.said()}. "
        + (f"The first to go wrong is node {node}. " if node else "")
        + PIN,
        node,
    )
