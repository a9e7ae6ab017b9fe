"""Reads an ONNX graph and proves what it says: valid sizes, receptive field, tiling, cost."""
