"""What the report claims, tried in ONNX Runtime."""
