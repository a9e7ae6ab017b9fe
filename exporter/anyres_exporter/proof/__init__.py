"""Declared is not proven: a graph against its model, at sizes that the export never saw."""
