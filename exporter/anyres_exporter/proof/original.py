"""A graph as the original that another graph is proven against."""

from __future__ import annotations

import onnx
import torch
from torch import Tensor, nn

from anyres_exporter.runtime import Runtime


class Original(nn.Module):
    """A graph in ONNX Runtime, called as a module is: (n, c, h, w) to its outputs by name."""

    def __init__(self, graph: onnx.ModelProto) -> None:
        super().__init__()
        self._runtime = Runtime(graph)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Every output.

        Raises:
            DoesNotRun: the graph does not take this size.
        """
        answers = self._runtime(image.numpy())
        return {name: torch.from_numpy(value) for name, value in answers.items()}
