"""Turns a PyTorch vision model into an ONNX file that has been proven."""
