"""What is refused before any number is compared: axes that the graph alone shows to be fixed.

An operator contracts a fixed number of values; the output has lost its axes in a pooling or an FC
head; or it is of one size whatever goes in. torch declares all three dynamic.
"""

from __future__ import annotations

from anyres_analyzer import Analysis
from anyres_exporter.errors import NotProven

PIN = (
    "Pin the size (--fixed); a classifier's head can then be made convolutional "
    "(anyres convolutionalize)"
)


def refuse_fixed(analysis: Analysis, name: str) -> None:
    """Raise `NotProven` where the graph alone shows that H or W cannot be open."""
    for axis, contract in (("H", analysis.sizes.height), ("W", analysis.sizes.width)):
        if contract.maximum is not None:
            raise NotProven(
                f"{axis} of '{name}' cannot be dynamic: it takes {contract.expected()} only, "
                f"because of node {contract.node}: {contract.reason}. {PIN}",
                contract.node,
            )
    culprit_node = analysis.tiling.breakers[0] if analysis.tiling.breakers else None
    if not analysis.output.dense:
        raise NotProven(
            f"H and W of '{name}' cannot be dynamic: its output has none ({culprit_node}). {PIN}",
            culprit_node,
        )
    if _output_grid(analysis, 1) == _output_grid(analysis, 2):
        raise NotProven(
            f"H and W of '{name}' cannot be dynamic: its output is {_output_grid(analysis, 1)} "
            f"whatever the image's size ({culprit_node}). {PIN}",
            culprit_node,
        )


def _output_grid(analysis: Analysis, times: int) -> tuple[int, ...]:
    """The output's (h, w) at a size well above the minimum, or at a multiple of it."""
    height, width = (
        axis.minimum + axis.step * (256 // axis.step) * times
        for axis in (analysis.sizes.height, analysis.sizes.width)
    )
    return analysis.cost(height, width).output_shape[2:]
