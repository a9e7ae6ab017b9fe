"""Where a model comes from: a recipe, an importable factory, weights, or an ONNX file."""
