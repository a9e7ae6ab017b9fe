"""Batteries in the graph: bytes in, answers out, channels where they are wanted."""
