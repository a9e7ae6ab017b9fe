"""A graph becomes another graph: padded to any size, made convolutional, fed with bytes."""
