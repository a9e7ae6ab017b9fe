"""Export: a model and what its author says about it become one ONNX file that has been proven.

    trace ─┐
           ├─> analyse ─> rewrite (any size, batteries, opset) ─> prove ─> card ─> write
    open ──┘

A PyTorch model is traced; a graph that is there already has its axes opened. Declared is not
proven: an axis is left dynamic only where the analyzer finds every size of the contract admissible
and ONNX Runtime agrees with the original (eager PyTorch, or the graph as it was given) on numbers.
Otherwise nothing is written, and the error names the node.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType

import onnx
import torch
from torch import nn

from anyres_analyzer import Analysis, analyze
from anyres_analyzer.errors import AnalysisError
from anyres_exporter.card.compose import composed
from anyres_exporter.card.meanings import check_meanings
from anyres_exporter.card.write import write
from anyres_exporter.errors import NotExportable, NotProven
from anyres_exporter.proof import culprit
from anyres_exporter.proof.compare import Comparison, Images, compare, noise
from anyres_exporter.proof.narrowed import own_sizes, with_sizes
from anyres_exporter.proof.original import Original
from anyres_exporter.proof.proving import proof
from anyres_exporter.proof.refusal import PIN, refuse_fixed
from anyres_exporter.proof.sizes import Size, sizes_of
from anyres_exporter.request import Sizes
from anyres_exporter.rewrite.any_size import AnySize, wrapped
from anyres_exporter.rewrite.batteries.batteries import PLAIN, Batteries
from anyres_exporter.rewrite.batteries.eager import Fitted, pixels
from anyres_exporter.rewrite.batteries.fitted import fitted
from anyres_exporter.rewrite.opened import AXES, opened
from anyres_exporter.rewrite.opset import OLDEST, at_opset, newest, opset_of
from anyres_exporter.rewrite.pad_rule import pad_rule
from anyres_exporter.rewrite.simplify import simplified
from anyres_exporter.trace.tidy import tidy
from anyres_exporter.trace.trace import trace, traceable
from anyres_proto.card import METADATA_KEY, Card, Description, Meaning, Padding, Proof

Report = Callable[[Comparison], None]


@dataclass(frozen=True)
class Subject:
    """A graph, and what it has to be.

    `only` are the sizes at which the original can be asked, where those are not all that the graph
    is said to take. `padding` is what the graph pads and crops by itself.
    """

    graph: onnx.ModelProto
    oracle: nn.Module
    only: tuple[Size, ...] = ()
    padding: Padding | None = None


def export(
    model: nn.Module | onnx.ModelProto,
    description: Description,
    folder: Path,
    *,
    sizes: Sizes,
    batteries: Batteries = PLAIN,
    opset: int | None = None,
    meanings: Mapping[str, Meaning] = MappingProxyType({}),
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
        batteries: what the graph is to do beside the network.
        opset: of the default domain; by default the newest that is sound.
        meanings: what outputs are, by their names, where their last layers do not tell.
        provenance: what the card records of where the model comes from.
        report: called with every comparison of the proof as it is made.

    Raises:
        BadRecipe: the batteries or the meanings do not fit the model.
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
    if sizes.dynamic and isinstance(model, nn.Module):
        own = own_sizes(analysis.sizes, subject.oracle, description.input.channels, sizes.traced)
        analysis = with_sizes(analysis, own)
    subject = _rewritten(subject, analysis, description, sizes, batteries)
    if opset is not None:
        subject = replace(subject, graph=at_opset(subject.graph, opset))
    narrow = analysis.sizes
    analysis = _analysed(subject.graph, description.name)
    if subject.padding is None:
        analysis = with_sizes(analysis, narrow)
    check_meanings(meanings, analysis)
    images = pixels if analysis.input.dtype == "uint8" else noise
    proofs = _proven(subject, analysis, description, images, report)
    card = composed(
        description.model_copy(update={"input": batteries.input(description.input)}),
        analysis,
        provenance=(provenance or {}) | {"torch": version("torch")},
        meanings=meanings,
        padding=subject.padding,
        proofs=proofs,
    )
    return write(subject.graph, card, folder)


def _rewritten(
    subject: Subject,
    analysis: Analysis,
    description: Description,
    sizes: Sizes,
    batteries: Batteries,
) -> Subject:
    """Padded first, so that what it is padded with is of the network's own input."""
    rule = pad_rule(analysis, sizes.any_size) if sizes.any_size else None
    if rule is not None:
        subject = Subject(
            wrapped(subject.graph, rule),
            AnySize(subject.oracle, rule).eval(),
            subject.only,
            rule.padding,
        )
    if not batteries.any:
        return subject
    analysis = _analysed(subject.graph, description.name)
    probable = analysis.output.meaning == "probabilities"
    return replace(
        subject,
        graph=fitted(subject.graph, description.input, batteries, analysis),
        oracle=Fitted(subject.oracle, description.input, batteries, probable=probable),
    )


def _traced(model: nn.Module, description: Description, sizes: Sizes, folder: Path) -> Subject:
    example = torch.zeros(2, description.input.channels, *sizes.traced)
    model, names = traceable(model, example)
    log = folder / f"{description.name}.export.log"
    graph = trace(model, example, names, dynamic_size=sizes.dynamic, opset=newest(), log=log)
    tidy(graph)
    return Subject(graph, model)


def _given(model: onnx.ModelProto, sizes: Sizes) -> Subject:
    """A graph is its own original, at the sizes that it was made for."""
    plain = at_opset(simplified(model), max(opset_of(model), OLDEST))
    given = Subject(plain, Original(model), padding=_padding_of(model))
    if not sizes.dynamic:
        return given
    declared = _analysed(model, model.graph.name)
    pinned = (declared.sizes.height.maximum, declared.sizes.width.maximum) != (None, None)
    axes = {declared.input.layout.index(axis): name for axis, name in AXES.items()}
    only = tuple(sizes_of(declared)) if pinned else ()
    return replace(given, graph=opened(plain, axes), only=only)


def _padding_of(model: onnx.ModelProto) -> Padding | None:
    text = next((entry.value for entry in model.metadata_props if entry.key == METADATA_KEY), None)
    return Card.model_validate_json(text).padding if text else None


def _analysed(graph: onnx.ModelProto, name: str) -> Analysis:
    try:
        return analyze(graph)
    except AnalysisError as error:
        raise NotExportable(f"the graph of '{name}' cannot be analysed: {error}") from error


def _proven(
    subject: Subject,
    analysis: Analysis,
    description: Description,
    images: Images,
    report: Report,
) -> tuple[Proof, ...]:
    channels = description.input.channels
    found: list[Comparison] = []
    sizes = subject.only or sizes_of(analysis)
    for comparison in compare(subject.oracle, subject.graph, sizes, channels, images=images):
        report(comparison)
        if not comparison.agrees:
            node = None
            if images is noise:  # modules see floats
                agreed = (found[-1].batch, found[-1].height, found[-1].width) if found else None
                node = culprit.find(
                    subject.oracle, subject.graph, comparison, channels, agreed=agreed
                )
            breakers = analysis.tiling.breakers
            raise _not_proven(description, comparison, node or (breakers[0] if breakers else None))
        found.append(comparison)
    return tuple(map(proof, found))


def _not_proven(description: Description, comparison: Comparison, node: str | None) -> NotProven:
    return NotProven(
        f"'{description.name}' is not the model at {comparison.width}x{comparison.height} "
        f"(batch {comparison.batch}): {comparison.said()}. "
        + (f"The first to go wrong is node {node}. " if node else "")
        + PIN,
        node,
    )
