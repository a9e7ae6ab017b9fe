"""What a reader must know first: where the file says what is not so, and what is odd in it."""

from __future__ import annotations

from collections.abc import Iterator

from anyres_analyzer.analysis import Analysis
from anyres_analyzer.report.facts import Finding
from anyres_analyzer.sizes.contract import AxisContract
from anyres_analyzer.sizes.witness import SILENT

ERROR, WARNING = "error", "warning"


def findings(analysis: Analysis) -> tuple[Finding, ...]:
    """Errors first."""
    found = [*_declarations(analysis), *_silence(analysis), *_joins(analysis)]
    found += [Finding(WARNING, None, remark) for remark in analysis.graph.remarks]
    return tuple(sorted(found, key=lambda finding: finding.level != ERROR))


def _declarations(analysis: Analysis) -> Iterator[Finding]:
    """A dimension that the file leaves open and the graph does not."""
    sizes = analysis.sizes
    for name, axis, declared in zip(
        ("height", "width"), (sizes.height, sizes.width), analysis.graph.image.dims[2:], strict=True
    ):
        if not isinstance(declared, int):
            yield from _declared(name, axis, declared)


def _declared(name: str, axis: AxisContract, declared: str | None) -> Iterator[Finding]:
    dynamic = f"{name} is declared dynamic ({declared or 'without a name'})"
    if axis.verdict == "unsafe":
        right = "" if axis.maximum is None else f"; right is {axis.expected()}"
        yield Finding(ERROR, axis.node, f"{dynamic}, and wrong in silence{right}: {axis.reason}")
    elif axis.maximum is not None:
        yield Finding(ERROR, axis.node, f"{dynamic}, but is {axis.expected()} only: {axis.reason}")
    elif axis.verdict == "unknown":
        yield Finding(WARNING, axis.node, f"{name}: {axis.reason}")
    elif axis.step > 1:
        yield Finding(WARNING, axis.node, f"{dynamic}, but takes only {axis.expected()}")


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
