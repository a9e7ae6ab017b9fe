"""What a reader must know first: where the file says what is not so, and what is odd in it."""

from __future__ import annotations

from collections.abc import Iterator

from anyres_analyzer.analysis import Analysis
from anyres_analyzer.report.facts import Finding
from anyres_analyzer.sizes.contract import AxisContract
from anyres_analyzer.sizes.witness import PASSES, SILENT

ERROR, WARNING = "error", "warning"


def findings(analysis: Analysis) -> tuple[Finding, ...]:
    """Errors first."""
    found = [*_declarations(analysis), *_silence(analysis), *_joins(analysis)]
    found += [Finding(WARNING, None, remark) for remark in analysis.graph.remarks]
    found += _doubts(analysis)
    return tuple(sorted(found, key=lambda finding: finding.level != ERROR))


def _doubts(analysis: Analysis) -> Iterator[Finding]:
    """Why what ONNX Runtime takes may be far from what is foretold."""
    passes = next(witness for witness in analysis.witnesses if witness.shows == PASSES)
    doubt = analysis.runtime_memory(passes.height, passes.width).doubt
    if doubt:
        yield Finding(WARNING, None, f"what ONNX Runtime takes may be foretold wrongly: {doubt}")


def _declarations(analysis: Analysis) -> Iterator[Finding]:
    """Dimensions that the file leaves open and the graph does not; both at once where it can be."""
    sizes, declared = analysis.sizes, analysis.graph.sides
    axes = (("height", sizes.height, declared[0]), ("width", sizes.width, declared[1]))
    said: dict[tuple[str, str | None, str], list[str]] = {}
    for name, axis, dim in axes:
        if not isinstance(dim, int):
            for level, words in _untrue(axis):
                said.setdefault((level, axis.node, words), []).append(f"{name} ({dim or 'open'})")
    for (level, node, words), names in said.items():
        verb = "are" if len(names) > 1 else "is"
        yield Finding(level, node, f"{' and '.join(names)} {verb} declared dynamic, {words}")


def _untrue(axis: AxisContract) -> Iterator[tuple[str, str]]:
    """What the declaration leaves out, and how bad that is."""
    because = f"{axis.node}: {axis.reason}" if axis.node else axis.reason
    if axis.verdict == "unsafe":
        right = "" if axis.maximum is None else f"; right is {axis.expected()}"
        yield ERROR, f"and other sizes are wrong in silence{right}. {because}"
    elif axis.maximum is not None:
        yield ERROR, f"but take {axis.expected()} only. {because}"
    elif axis.verdict == "unknown":
        yield WARNING, f"and what they give is not known. {because}"
    elif axis.step > 1:
        yield WARNING, f"but take {axis.expected()} only. {because}"


def _silence(analysis: Analysis) -> Iterator[Finding]:
    for witness in analysis.witnesses:
        if witness.shows == SILENT:
            size = f"{witness.width}x{witness.height}"
            yield Finding(ERROR, None, f"{size} runs without an error and is wrong: {witness.why}")


def _joins(analysis: Analysis) -> Iterator[Finding]:
    for output in analysis.outputs:
        for sentence in output.accidents:
            yield Finding(ERROR, None, sentence)
        for sentence in output.misaligned:
            yield Finding(WARNING, None, sentence)
