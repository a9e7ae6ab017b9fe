"""Why a graph could not be analysed.

AnalysisError
├── NotAModel          the file is not an ONNX model that can be read: give another one
├── OutsideFolder      the model names a file outside its own folder: do not trust it, or move it
├── CannotVerify       ONNX Runtime is missing or cannot open the model: install it, or do without
├── UnsupportedGraph   the graph is outside what the analyzer proves anything about
└── Inadmissible       this input size does not go through the graph (names the node and why)
    └── SilentlyWrong  it does, without an error, and what comes out is wrong
"""

from __future__ import annotations


class AnalysisError(Exception):
    """An error whose message is written for the person who asked."""


class NotAModel(AnalysisError):
    """The file is missing, truncated, or no ONNX model at all."""


class OutsideFolder(AnalysisError):
    """A tensor's external data lies outside the model's folder; it was not opened."""


class CannotVerify(AnalysisError):
    """ONNX Runtime is not installed, cannot open the model, or does not come back."""


class UnsupportedGraph(AnalysisError):
    """Several inputs, no image among them, control flow: nothing is claimed about such a graph."""


class Inadmissible(AnalysisError):
    """An input size that the graph does not take; `node` is where it stops.

    `certain` is False where runtimes differ, and one may give an answer all the same.
    """

    def __init__(self, node: str, reason: str, *, certain: bool = True) -> None:
        super().__init__(f"node {node}: {reason}")
        self.node = node
        self.reason = reason
        self.certain = certain


class SilentlyWrong(Inadmissible):
    """An input size that every runtime takes, and that gives wrong answers."""
