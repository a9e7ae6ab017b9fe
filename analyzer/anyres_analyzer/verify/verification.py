"""A report's claims against ONNX Runtime: each witness is run, and tiles against whole images.

Whether a runtime says no, or ends its process, a size that fails has failed; one that passes gives
the shape that was foretold. Tiles are tried along one axis at a time, with three cores inside the
image and odd sizes where the contract has them, the other axis whole.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from anyres_analyzer.analysis import Analysis
from anyres_analyzer.graph.layout import Layout
from anyres_analyzer.output import Output
from anyres_analyzer.report.facts import Report, TileCheck, Witness
from anyres_analyzer.sizes.contract import AxisContract
from anyres_analyzer.sizes.witness import FAILS, PASSES
from anyres_analyzer.tiling.plan import AxisRule, AxisTile, cut, plan_axis
from anyres_analyzer.tiling.rule import AxisTiling
from anyres_analyzer.verify.process import ask

CORES = 3
SHORT = 48  # pixels of the axis that is not cut, at least


def verified(report: Report, model: Path, analysis: Analysis) -> Report:
    """The same report, with what ONNX Runtime did.

    Raises:
        CannotVerify: it is missing, or cannot open the file.
    """
    return replace(
        report,
        witnesses=tuple(_tried(witness, model, analysis) for witness in report.witnesses),
        tile_checks=tuple(
            check
            for output in analysis.outputs
            for axis in (0, 1)
            if (check := _tiles(model, analysis, output, axis))
        ),
    )


def _tried(witness: Witness, model: Path, analysis: Analysis) -> Witness:
    width, height = witness.size
    answer = ask(_request(model, analysis, analysis.output.name, height, width))
    if witness.shows == FAILS:
        return replace(witness, confirmed="refused" in answer)
    if witness.shows == PASSES:
        foretold = list(analysis.cost(height, width).output_shape)
        return replace(witness, confirmed=answer.get("shape") == foretold)
    return replace(witness, confirmed="shape" in answer)


def _request(
    model: Path, analysis: Analysis, output: str, height: int, width: int
) -> dict[str, Any]:
    graph = analysis.graph
    shape = graph.layout.shape(graph.batch, graph.channels, height, width)
    return {"model": str(model), "output": output, "shape": shape}


def _tiles(model: Path, analysis: Analysis, output: Output, axis: int) -> TileCheck | None:
    """Tiles along one axis, the other whole; None where the rule forbids them."""
    rules = output.tiling.height, output.tiling.width
    rule = rules[axis]
    if None in rules or rule is None:
        return None
    contracts = analysis.sizes.height, analysis.sizes.width
    size = [contract.at_least(SHORT) for contract in contracts]
    size[axis] = _long(rule, contracts[axis])
    height, width = size
    layout = Layout(output.layout)
    outputs = layout.grid(analysis.shapes.at(height, width)[output.name].shape)
    pieces = _cut(rule, contracts[axis], size[axis], output.stride[axis], outputs[axis])
    other = 1 - axis
    whole = {"source": [0, size[other]], "part": [0, outputs[other]], "whole": [0, outputs[other]]}
    names = ("rows", "columns") if axis == 0 else ("columns", "rows")
    request = _request(model, analysis, output.name, height, width)
    axes = {"image_axes": analysis.graph.layout.sides, "output_axes": layout.sides}
    tiles = [{names[0]: piece, names[1]: whole} for piece in pieces]
    answer = ask(request | axes | {"tiles": tiles})
    return TileCheck(
        output=output.name,
        size=(width, height),
        tiles=len(pieces),
        worst_difference=answer.get("worst"),
        largest_value=answer.get("largest"),
        bit_equal=answer["same"] / answer["values"] if answer.get("values") else None,
        refused=answer.get("refused"),
    )


def _long(rule: AxisTiling, contract: AxisContract) -> int:
    """Room for a first, an inner and a last core, of no even length where that is admitted."""
    return contract.at_least(rule.minimum_tile + CORES * _core(rule) + rule.alignment // 2 + 1)


def _core(rule: AxisTiling) -> int:
    return rule.alignment * -(-SHORT // rule.alignment)


def _cut(
    rule: AxisTiling, contract: AxisContract, size: int, stride: Fraction, outputs: int
) -> list[dict[str, list[int]]]:
    lengths = rule.alignment, rule.halo_before, rule.halo_after
    tiles = plan_axis(size, _core(rule), AxisRule(*lengths, contract.minimum, contract.step))
    return [_piece(tile, stride, size, outputs) for tile in tiles]


def _piece(tile: AxisTile, stride: Fraction, size: int, outputs: int) -> dict[str, list[int]]:
    place = cut(tile, stride, size, outputs)
    return {
        "source": [tile.start, tile.stop],
        "part": [place.part.start, place.part.stop],
        "whole": [place.start, place.stop],
    }
