"""Which sizes a proof runs: those at which a graph that is wrong somewhere shows it.

Along each axis that is to be dynamic: the minimum and the next two, one below, at and above an
alignment, every residue of the alignment, and a size well above. They are paired so that few are
square, with the extremes of each axis against those of the other, in batches of 1 and 3.
"""

from __future__ import annotations

from math import lcm
from typing import TypeAlias

from anyres_analyzer import Analysis
from anyres_analyzer.sizes.contract import AxisContract, SizeContract

RESIDUES = 64  # alignments up to this are covered residue by residue
BATCHES = (1, 3)
OBLONG = 8  # times as long as wide

Size: TypeAlias = tuple[int, int, int]  # (batch, h, w)


def sizes_of(analysis: Analysis) -> list[Size]:
    """The sizes that prove a graph, by its analysis."""
    steps = (analysis.sizes.height.step, analysis.sizes.width.step)
    height, width = map(lcm, steps, analysis.periods)
    batch = analysis.graph.image.dims[0]
    batches = (batch,) if isinstance(batch, int) else BATCHES
    return sizes_to_prove(analysis.sizes, (height, width), batches)


def sizes_to_prove(
    sizes: SizeContract, alignment: tuple[int, int], batches: tuple[int, ...] = BATCHES
) -> list[Size]:
    """Every (batch, h, w) that the proof runs, smallest first, each once.

    Args:
        sizes: which sizes the graph takes.
        alignment: after how many pixels of each axis its sampling lattices coincide.
        batches: every size is run in the first; two of them in the others too.
    """
    axes = (sizes.height, sizes.width)
    heights, widths = (_along(axis, step) for axis, step in zip(axes, alignment, strict=True))
    turned = widths[len(widths) // 3 :] + widths[: len(widths) // 3]  # pairs are not square
    longest = max(len(heights), len(turned))
    pairs = [(heights[i % len(heights)], turned[i % len(turned)]) for i in range(longest)]
    pairs += [(heights[0], widths[0]), (heights[0], widths[-1]), (heights[-1], widths[0])]
    pairs += _oblong(*axes)
    batched = [(batches[0], h, w) for h, w in pairs]
    batched += [
        (batch, *pair) for batch in batches[1:] for pair in (pairs[0], pairs[len(pairs) // 2])
    ]
    return sorted(dict.fromkeys(batched), key=lambda size: (size[1] * size[2], size))


def _along(axis: AxisContract, alignment: int) -> list[int]:
    """Admissible sizes of one axis: the first few, around one alignment, residues, a large one.

    Up to `RESIDUES` residues of the alignment are all there; of more, as many evenly spread.
    """
    if axis.maximum is not None:
        return list(range(axis.minimum, axis.maximum + 1, axis.step))
    step = axis.step
    above = axis.minimum + step * -(-2 * alignment // step)
    spread = step * -(-alignment // (RESIDUES * step))
    first = {axis.minimum, axis.minimum + step, axis.minimum + 2 * step}
    around = {alignment - 1, alignment, alignment + 1, above + alignment - 1, above + alignment}
    residues = {above + residue for residue in range(0, alignment, spread)}
    large = above + step * -(-(4 * alignment + 37) // step)
    return sorted(size for size in {*first, *around, *residues, large} if axis.admits(size))


def _oblong(height: AxisContract, width: AxisContract) -> list[tuple[int, int]]:
    """`OBLONG` times as high as wide, and the other way round: the smallest that are admissible."""
    if height.maximum is not None or width.maximum is not None:
        return []
    tall = (height.at_least(OBLONG * width.minimum), width.minimum)
    wide = (height.minimum, width.at_least(OBLONG * height.minimum))
    return [tall, wide]
