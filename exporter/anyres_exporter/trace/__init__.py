"""From PyTorch to a graph, every output under its name."""
