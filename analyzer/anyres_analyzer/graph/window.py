"""The window of a convolution or pool along one spatial axis, with ONNX's defaults."""

from __future__ import annotations

from dataclasses import dataclass

from anyres_analyzer.errors import NotAModel
from anyres_analyzer.graph.graph import Node


@dataclass(frozen=True)
class Window:
    """Kernel taps, stride, dilation and explicit padding, in pixels of the node's input.

    `same` is the `auto_pad` mode "UPPER" or "LOWER" where the padding depends on the size, else "".
    """

    taps: int
    stride: int
    dilation: int
    pad_before: int
    pad_after: int
    same: str = ""

    @property
    def extent(self) -> int:
        """How many pixels the window spans."""
        return self.dilation * (self.taps - 1) + 1


def window_of(node: Node, axis: int, weight_shape: tuple[int, ...] | None = None) -> Window:
    """The window along spatial axis 0 (H) or 1 (W).

    Raises:
        NotAModel: the window has fewer axes than the map.
    """
    taps = node.attributes.get("kernel_shape") or (weight_shape or ())[2:]
    pads = node.attributes.get("pads") or (0,) * (2 * len(taps))
    strides = node.attributes.get("strides") or (1,) * len(taps)
    if axis >= min(len(taps), len(strides)) or len(pads) < 2 * len(taps):
        raise NotAModel(f"node {node.label}: its window has {len(taps)} axes, its map has more")
    auto_pad = node.attributes.get("auto_pad", b"NOTSET").decode()
    return Window(
        taps=taps[axis],
        stride=strides[axis],
        dilation=(node.attributes.get("dilations") or (1,) * len(taps))[axis],
        pad_before=pads[axis],
        pad_after=pads[axis + len(taps)],
        same=auto_pad.removeprefix("SAME_") if auto_pad.startswith("SAME_") else "",
    )
