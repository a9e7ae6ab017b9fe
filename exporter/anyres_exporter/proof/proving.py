"""Is a graph the model that it is said to be? A verdict for each axis, and the numbers behind it.

An axis that the file declares as open must be open in truth: the analyzer finds every size of a
contract admissible, and at those sizes the graph answers what the model answers. One that the file
pins is proven at its size. A graph that fails at one size is not proven at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import onnx
from torch import nn

from anyres_analyzer import Analysis
from anyres_analyzer.sizes.contract import AxisContract
from anyres_exporter.errors import NotProven
from anyres_exporter.proof import culprit
from anyres_exporter.proof.compare import Comparison, Oracle, compare
from anyres_exporter.proof.difference import TOLERANCE
from anyres_exporter.proof.refusal import refuse_fixed
from anyres_exporter.proof.sizes import Size, sizes_of
from anyres_proto.card import Proof

FAINT = 100 * TOLERANCE  # of an output's size; below, an error of a hundredth would not show

Report = Callable[[Comparison], None]


@dataclass(frozen=True)
class AxisVerdict:
    """What was found of one axis: "N" (images), "H" or "W"; `sizes` in words."""

    axis: str
    proven: bool
    sizes: str
    reason: str = ""


@dataclass(frozen=True)
class Verdict:
    """What was found of a graph; `culprit` is the node that fixes an axis, or first goes wrong."""

    axes: tuple[AxisVerdict, ...]
    comparisons: tuple[Comparison, ...]
    culprit: str | None = None

    @property
    def proven(self) -> bool:
        """Whether the graph is the model at every size that it declares."""
        return all(axis.proven for axis in self.axes)

    @property
    def faint(self) -> dict[str, float]:
        """Outputs that hardly vary from pixel to pixel at any size, and by how much."""
        most: dict[str, float] = {}
        for output in (output for each in self.comparisons for output in each.outputs):
            most[output.output] = max(most.get(output.output, 0.0), output.spread)
        return {output: spread for output, spread in most.items() if spread < FAINT}

    def proofs(self) -> tuple[Proof, ...]:
        """The sizes at which it is, for a card."""
        return tuple(proof(comparison) for comparison in self.comparisons if comparison.agrees)


def proof(comparison: Comparison) -> Proof:
    """A comparison that agreed, as a card has it."""
    return Proof(
        batch=comparison.batch,
        height=comparison.height,
        width=comparison.width,
        max_abs_error=comparison.max_abs_error,
        max_rel_error=comparison.max_rel_error,
        argmax_agreement=comparison.argmax_agreement,
    )


def prove(
    graph: onnx.ModelProto,
    analysis: Analysis,
    oracle: Oracle,
    *,
    sizes: Iterable[Size] | None = None,
    report: Report = lambda comparison: None,
) -> Verdict:
    """Compare a graph with its original, and judge each axis.

    Args:
        graph: whose axes are judged.
        analysis: of that graph.
        oracle: the original.
        sizes: (batch, h, w) each; by default those at which a graph that is wrong shows it.
        report: called with every comparison as it is made.

    Raises:
        DoesNotRun: ONNX Runtime does not load the graph at all.
    """
    found: list[Comparison] = []
    channels = analysis.input.channels
    for comparison in compare(
        oracle, graph, sizes_of(analysis) if sizes is None else sizes, channels
    ):
        report(comparison)
        found.append(comparison)
    refusal = _refusal(analysis)
    axes = tuple(_axis(axis, analysis, found, refusal) for axis in "NHW")
    if sizes is not None:
        axes = tuple(replace(axis, sizes="those asked for") for axis in axes)
    return Verdict(axes, tuple(found), _culprit(oracle, graph, found, refusal, channels))


def _refusal(analysis: Analysis) -> NotProven | None:
    """Why the graph alone shows that an axis which is declared open is not."""
    if not any(_declared_open(analysis, axis) for axis in "HW"):
        return None
    try:
        refuse_fixed(analysis, analysis.output.name)
    except NotProven as error:
        return error
    return None


def _declared_open(analysis: Analysis, axis: str) -> bool:
    position = analysis.input.layout.index(axis)
    return not isinstance(analysis.graph.image.dims[position], int)


def _axis(
    axis: str, analysis: Analysis, found: list[Comparison], refusal: NotProven | None
) -> AxisVerdict:
    """An error that only several images show is the batch's alone."""
    batches = sorted({comparison.batch for comparison in found})
    single = [comparison for comparison in found if comparison.batch == batches[0]]
    several = [comparison for comparison in found if comparison.batch != batches[0]]
    if axis == "N":
        wrong = _wrong(several or single)
        taken = "any" if _declared_open(analysis, axis) else str(batches[0])
        return AxisVerdict(axis, not wrong, taken, wrong)
    contract: AxisContract = getattr(analysis.sizes, {"H": "height", "W": "width"}[axis])
    if _declared_open(analysis, axis) and refusal is not None:
        return AxisVerdict(axis, proven=False, sizes=contract.expected(), reason=str(refusal))
    return AxisVerdict(axis, not _wrong(single), contract.expected(), _wrong(single))


def _wrong(comparisons: list[Comparison]) -> str:
    """The first size where the graph is not the model, and how; empty where it always is."""
    wrong = next((comparison for comparison in comparisons if not comparison.agrees), None)
    if wrong is None:
        return ""
    return f"at {wrong.width}x{wrong.height}, batch {wrong.batch}: {wrong.said()}"


def _culprit(
    oracle: Oracle,
    graph: onnx.ModelProto,
    found: list[Comparison],
    refusal: NotProven | None,
    channels: int,
) -> str | None:
    wrong = next((comparison for comparison in found if not comparison.agrees), None)
    if wrong is None or not isinstance(oracle, nn.Module):
        return refusal.node if refusal else None
    right = next((comparison for comparison in found if comparison.agrees), None)
    agreed = (right.batch, right.height, right.width) if right else None
    node = culprit.find(oracle, graph, wrong, channels, agreed=agreed)
    return node or (refusal.node if refusal else None)
