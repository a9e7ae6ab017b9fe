"""What this server gets out of this machine, measured beside bare ONNX Runtime."""
