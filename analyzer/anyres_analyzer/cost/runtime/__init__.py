"""What ONNX Runtime's CPU provider really takes while it runs a size."""
