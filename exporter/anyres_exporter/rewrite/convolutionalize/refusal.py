"""Why a graph is no classifier that can be slid over a larger image."""

from __future__ import annotations

from anyres_exporter.errors import ExportError


class NotConvertible(ExportError):
    """`node` is what stands in the way, None where it is no single one."""

    def __init__(self, message: str, node: str | None = None) -> None:
        super().__init__(message)
        self.node = node


def at(node: str, reason: str) -> NotConvertible:
    """The refusal of a node, by its label."""
    return NotConvertible(f"it cannot be convolutionalized: node {node}: {reason}", node)
