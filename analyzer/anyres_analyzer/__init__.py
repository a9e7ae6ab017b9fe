"""Reads an ONNX graph and proves what it says: valid sizes, receptive field, tiling, cost."""

from __future__ import annotations

from anyres_analyzer.analysis import Analysis, analyze
from anyres_analyzer.cost.model import Cost, CostModel

__all__ = ["Analysis", "Cost", "CostModel", "analyze"]
