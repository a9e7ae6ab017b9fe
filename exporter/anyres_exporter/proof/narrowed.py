"""Sizes that a model itself refuses although its graph would take them.

    if image.shape[-2] % 32: raise RuntimeError("... divisible by 32 ...")

torch's exporter leaves such a check out of the graph. What the model refuses cannot be proven, and
its author had a reason; so the contract is narrowed to what the model takes. Its step is found by
asking it: from the size that it was traced at upwards, one axis at a time. A refusal costs little,
because a check comes first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import lcm

import torch
from torch import nn

from anyres_analyzer import Analysis
from anyres_analyzer.output import Output
from anyres_analyzer.sizes.contract import AxisContract, Progression, SizeContract
from anyres_analyzer.tiling.plan import AxisRule
from anyres_analyzer.tiling.rule import AxisTiling

STEPS = 128  # of the graph's own, the most that a step of the model's is looked for in
Refusal = Callable[[int], str]  # of one axis's size: the model's words; empty where it takes it


def own_sizes(
    sizes: SizeContract, model: nn.Module, channels: int, traced: tuple[int, int]
) -> SizeContract:
    """The sizes of a graph that the model takes, too.

    Args:
        sizes: of its graph.
        model: takes (n, channels, h, w).
        channels: of the image.
        traced: (h, w), which the model takes.
    """
    height, width = traced
    return SizeContract(
        _narrowed(sizes.height, height, lambda h: refusal(model, channels, h, width)),
        _narrowed(sizes.width, width, lambda w: refusal(model, channels, height, w)),
    )


def refusal(model: nn.Module, channels: int, height: int, width: int) -> str:
    """What the model raises at this size, in a line; empty where it takes it."""
    try:
        with torch.inference_mode():
            model(torch.zeros(1, channels, height, width))
    except Exception as error:  # noqa: BLE001 - somebody's model may raise anything; it is told
        return " ".join(str(error).split()) or type(error).__name__
    return ""


def _narrowed(axis: AxisContract, traced: int, refuses: Refusal) -> AxisContract:
    if axis.maximum is not None:
        return axis
    there = (Progression(axis.minimum, axis.step), *axis.also)
    said = [next(filter(None, map(refuses, _two(each, traced))), "") for each in there]
    if not any(said):
        return axis
    taken = [each for each, refused in zip(there, said, strict=True) if not refused]
    if not taken:
        taken = _coarser(next((each for each in there if traced in each), None), traced, refuses)
    if not taken:
        return axis
    first, *also = (_from_the_least(each, traced, refuses) for each in taken)
    why = next(filter(None, said))[:120].rstrip(". ")
    return replace(
        axis,
        verdict="free" if first.step == 1 else "stepped",
        minimum=first.minimum,
        step=first.step,
        node=None,
        reason=f"the model itself refuses other sizes: {why}",
        also=tuple(also),
    )


def _two(sizes: Progression, traced: int) -> tuple[int, int]:
    """Two neighbours in a progression, no smaller than what the model was traced at."""
    least = sizes.minimum + sizes.step * max(0, -(-(traced - sizes.minimum) // sizes.step))
    return least, least + sizes.step


def _coarser(sizes: Progression | None, traced: int, refuses: Refusal) -> list[Progression]:
    """Every so many of a progression's sizes, of which the model takes those about `traced`."""
    if sizes is None:
        return []
    multiples = (sizes.step * n for n in range(2, STEPS + 1))
    step = next((step for step in multiples if not refuses(traced + step)), None)
    if step is None:
        return []
    return [Progression(sizes.minimum + (traced - sizes.minimum) % step, step)]


def _from_the_least(sizes: Progression, traced: int, refuses: Refusal) -> Progression:
    """Without the small sizes that the model refuses."""
    below = range(sizes.minimum, traced, sizes.step)
    return replace(
        sizes, minimum=next((n for n in below if not refuses(n)), _two(sizes, traced)[0])
    )


def with_sizes(analysis: Analysis, sizes: SizeContract) -> Analysis:
    """The analysis of a graph of which only these sizes are promised; its tiles are of such."""
    if sizes == analysis.sizes:
        return analysis
    outputs = tuple(_tiled(output, sizes) for output in analysis.outputs)
    return replace(analysis, sizes=sizes, outputs=outputs)


def _tiled(output: Output, sizes: SizeContract) -> Output:
    height, width = (
        axis and _aligned(axis, contract)
        for axis, contract in (
            (output.tiling.height, sizes.height),
            (output.tiling.width, sizes.width),
        )
    )
    return replace(output, tiling=replace(output.tiling, height=height, width=width))


def _aligned(axis: AxisTiling, contract: AxisContract) -> AxisTiling:
    """Tiles start on the model's own lattice, too, and the shortest is of a length it takes."""
    alignment = lcm(axis.alignment, contract.step)
    rule = AxisRule(alignment, axis.halo_before, axis.halo_after, contract.minimum, contract.step)
    shortest = rule.length(rule.lead + alignment + axis.halo_after)
    return replace(axis, alignment=alignment, minimum_tile=shortest)
