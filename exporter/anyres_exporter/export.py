"""Export: a model and what its author says about it become one ONNX file that has been proven.

    trace -> analyse -> (pad to step and crop) -> prove against eager -> stamp the card -> write

Declared is not proven: an axis is left dynamic only where the analyzer finds every size of the
contract admissible and ONNX Runtime agrees with eager PyTorch on numbers. Otherwise nothing is
written, and the error names the node.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import onnx
import torch
from torch import nn

from anyres_analyzer import Analysis, analyze
from anyres_analyzer.errors import AnalysisError
from anyres_analyzer.sizes.contract import AxisContract
from anyres_exporter.card.compose import composed
from anyres_exporter.errors import NotExportable, NotProven
from anyres_exporter.proof import culprit
from anyres_exporter.proof.compare import Comparison, compare, sizes_to_prove
from anyres_exporter.proof.refusal import PIN, refuse_fixed
from anyres_exporter.request import Sizes
from anyres_exporter.rewrite.any_size import AnySize, PadToStep, wrapped
from anyres_exporter.trace.trace import trace
from anyres_proto.card import METADATA_KEY, Card, Description, Padding, Proof

Report = Callable[[Comparison], None]


def export(
    model: nn.Module,
    description: Description,
    folder: Path,
    *,
    sizes: Sizes,
    provenance: dict[str, str] | None = None,
    report: Report = lambda comparison: None,
) -> Path:
    """Write `<folder>/<name>.onnx` and return its path.

    Args:
        model: (n, c, h, w) float32 to one tensor, (n, channels, h', w') or (n, channels).
        description: name, task, input, classes.
        folder: where to write; made if missing.
        sizes: what is asked of H and W.
        provenance: what the card records of where the model comes from.
        report: called with every comparison of the proof as it is made.

    Raises:
        NotExportable: torch could not trace the model, or nothing can be said about its graph.
        NotProven: an axis that was to be dynamic is fixed, or the graph is not the model.
    """
    model = model.eval()
    graph = _traced(model, description, sizes, folder)
    analysis = _analysed(graph, description.name)
    if sizes.dynamic:
        refuse_fixed(analysis, description.name)
    rule = _padding(analysis, sizes)
    oracle = model
    if rule is not None:
        oracle, graph = AnySize(model, rule).eval(), wrapped(graph, rule)
        analysis = _analysed(graph, description.name)
    proofs = _proven(oracle, graph, analysis, description, report)
    card = composed(
        description,
        analysis,
        provenance=(provenance or {}) | {"torch": version("torch")},
        padding=Padding(step=rule.step, minimum=rule.minimum, mode=rule.mode) if rule else None,
        proofs=proofs,
    )
    return _written(graph, card, folder)


def _traced(
    model: nn.Module, description: Description, sizes: Sizes, folder: Path
) -> onnx.ModelProto:
    example = torch.zeros(2, description.input.channels, *sizes.traced)
    log = folder / f"{description.name}.export.log"
    graph = trace(model, example, dynamic_size=sizes.dynamic, log=log)
    dims = graph.graph.input[0].type.tensor_type.shape.dim
    for index, name in ((0, "batch"), (2, "height"), (3, "width")):
        if not dims[index].HasField("dim_value"):
            _rename_dim(graph, dims[index].dim_param, name)
    return graph


def _rename_dim(graph: onnx.ModelProto, old: str, new: str) -> None:
    """torch numbers its symbols (s53); a reader of the file wants words."""
    for info in (*graph.graph.input, *graph.graph.output):
        for dim in info.type.tensor_type.shape.dim:
            if dim.dim_param == old:
                dim.dim_param = new


def _analysed(graph: onnx.ModelProto, name: str) -> Analysis:
    try:
        return analyze(graph)
    except AnalysisError as error:
        raise NotExportable(f"the graph of '{name}' cannot be analysed: {error}") from error


def _padding(analysis: Analysis, sizes: Sizes) -> PadToStep | None:
    """The padding that makes every size admissible, where it is asked for and needed."""
    height, width = analysis.sizes.height, analysis.sizes.width
    if sizes.any_size is None or {height.step, height.minimum, width.step, width.minimum} == {1}:
        return None
    if (height.step, height.minimum) != (width.step, width.minimum):
        raise NotProven(
            f"padding to a step needs the same step for both axes; H has {_words(height)}, "
            f"W has {_words(width)}"
        )
    return PadToStep(height.step, height.minimum, sizes.any_size, analysis.output.stride)


def _words(axis: AxisContract) -> str:
    return f"minimum {axis.minimum} and step {axis.step}"


def _proven(
    oracle: nn.Module,
    graph: onnx.ModelProto,
    analysis: Analysis,
    description: Description,
    report: Report,
) -> tuple[Proof, ...]:
    channels = description.input.channels
    found: list[Proof] = []
    for comparison in compare(oracle, graph, _sizes(analysis), channels):
        report(comparison)
        if not comparison.agrees:
            node = culprit.find(oracle, graph, comparison, channels)
            breakers = analysis.tiling.breakers
            raise _not_proven(description, comparison, node or (breakers[0] if breakers else None))
        found.append(
            Proof(
                batch=comparison.batch,
                height=comparison.height,
                width=comparison.width,
                max_abs_error=comparison.max_abs_error,
                max_rel_error=comparison.max_rel_error,
            )
        )
    return tuple(found)


def _sizes(analysis: Analysis) -> list[tuple[int, int, int]]:
    tiling = analysis.tiling
    alignment = (
        tiling.height.alignment if tiling.height else analysis.sizes.height.step,
        tiling.width.alignment if tiling.width else analysis.sizes.width.step,
    )
    return sizes_to_prove(analysis.sizes, alignment)


def _not_proven(description: Description, comparison: Comparison, node: str | None) -> NotProven:
    what = (
        comparison.failure.splitlines()[0]
        if comparison.failure
        else f"it differs from PyTorch by {comparison.max_abs_error:.2g} "
        f"({comparison.max_rel_error:.1%} of the largest value)"
    )
    return NotProven(
        f"'{description.name}' is not the model at {comparison.width}x{comparison.height} "
        f"(batch {comparison.batch}): {what}. "
        + (f"The first to go wrong is node {node}. " if node else "")
        + PIN,
        node,
    )


def _written(graph: onnx.ModelProto, card: Card, folder: Path) -> Path:
    """Atomically: a server that watches the folder never sees half a file."""
    del graph.metadata_props[:]
    onnx.helper.set_model_props(graph, {METADATA_KEY: card.model_dump_json()})
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{card.name}.onnx"
    partial = folder / f".{card.name}.onnx.partial"
    partial.write_bytes(graph.SerializeToString(deterministic=True))
    return partial.replace(path)
