"""Serves ONNX image models over gRPC: any resolution, bounded memory."""
