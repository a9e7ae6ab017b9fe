"""The proof: the exported graph against PyTorch eager, at sizes that the export never saw.

For each axis that is to be dynamic the sizes cover every residue of the graph's alignment, the
minimum, one below, at and above a step, odd, non-square and extreme shapes, and batches of 1 and 3.
Numbers are compared, not shapes: a graph can take a size and be wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from onnxruntime.capi.onnxruntime_pybind11_state import (
    Fail,
    InvalidArgument,
    RuntimeException,
)
from torch import nn

from anyres_analyzer.sizes.contract import AxisContract, SizeContract

TOLERANCE = 1e-4  # of the largest magnitude in the answer: float32 sums in another order
RESIDUES = 64  # alignments up to this are covered residue by residue
Array = NDArray[np.float32]


@dataclass(frozen=True)
class Comparison:
    """One size: the worst difference, absolute and relative to the largest magnitude.

    `failure` says why nothing could be compared: the runtime's words, or shapes that differ.
    """

    batch: int
    height: int
    width: int
    max_abs_error: float = 0.0
    max_rel_error: float = 0.0
    failure: str = ""

    @property
    def agrees(self) -> bool:
        """Whether the graph is the model at this size."""
        return not self.failure and self.max_rel_error <= TOLERANCE


def compare(
    model: nn.Module, graph: onnx.ModelProto, sizes: list[tuple[int, int, int]], channels: int
) -> Iterator[Comparison]:
    """Each (batch, h, w) in turn, on seeded noise; the caller may stop at the first that fails."""
    run = runner(graph)
    model.eval()
    for batch, height, width in sizes:
        image = noise(batch, channels, height, width)
        with torch.inference_mode():
            expected = model(torch.from_numpy(image)).numpy()
        yield _compared(run, image, expected)


def noise(batch: int, channels: int, height: int, width: int) -> Array:
    """Seeded normal noise, the same for the same size."""
    generator = np.random.default_rng((batch, channels, height, width))
    return generator.standard_normal((batch, channels, height, width), dtype=np.float32)


def runner(graph: onnx.ModelProto) -> Callable[[Array], Array]:
    """A function that runs a graph in ONNX Runtime on the CPU."""
    options = ort.SessionOptions()
    options.log_severity_level = 4  # a size that fails is an answer here, not an incident
    session = ort.InferenceSession(
        graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name

    def run(image: Array) -> Array:
        output: Array = session.run(None, {name: image})[0]
        return output

    return run


def _compared(run: Callable[[Array], Array], image: Array, expected: Array) -> Comparison:
    batch, _, height, width = image.shape
    try:
        actual = run(image)
    except (Fail, InvalidArgument, RuntimeException) as error:
        return Comparison(batch, height, width, failure=str(error))
    if actual.shape != expected.shape:
        failure = f"the graph answers {actual.shape}, the model {expected.shape}"
        return Comparison(batch, height, width, failure=failure)
    worst = float(np.abs(actual - expected).max(initial=0.0))
    scale = float(np.abs(expected).max(initial=0.0)) or 1.0
    return Comparison(batch, height, width, worst, worst / scale)


def sizes_to_prove(sizes: SizeContract, alignment: tuple[int, int]) -> list[tuple[int, int, int]]:
    """Every (batch, h, w) that the proof runs, smallest first, each once."""
    heights, widths = (
        _along(axis, step)
        for axis, step in zip((sizes.height, sizes.width), alignment, strict=True)
    )
    turned = widths[len(widths) // 3 :] + widths[: len(widths) // 3]  # pairs are not square
    longest = max(len(heights), len(turned))
    pairs = [(heights[i % len(heights)], turned[i % len(turned)]) for i in range(longest)]
    pairs += [(heights[0], widths[0]), (heights[0], widths[-1]), (heights[-1], widths[0])]
    batched = [(1, h, w) for h, w in pairs]
    batched += [(3, *pairs[0]), (3, *pairs[len(pairs) // 2])]
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
