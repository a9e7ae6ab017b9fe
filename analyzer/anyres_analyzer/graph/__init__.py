"""The file: an ONNX graph as plain values."""
