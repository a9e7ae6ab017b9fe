"""Why a model was not exported, or a file not stamped.

ExportError
├── BadRecipe      the recipe, factory or weights are wrong: correct them
├── NotExportable  torch cannot turn this model into a graph (its text goes to a log file)
├── DoesNotRun     ONNX Runtime does not run a graph, or not at this size
├── BadPicture     a picture, or a folder of them, cannot be used
├── NotConvertible a classifier's head cannot be slid over a larger image, by this node
├── NotFaster      a faster variant answers too differently, or there is nothing to make faster
├── NotProven      the exported graph is not the model at some size: pin the axis or mend the node
└── NotStamped     a card was not written into a file, which is as it was
    └── NotExpressible  another format has no words for what the graph says
"""

from __future__ import annotations


class ExportError(Exception):
    """An error whose message is written for the person who exports."""


class BadRecipe(ExportError):
    """Something that the caller wrote is wrong."""


class NotExportable(ExportError):
    """torch.onnx.export gave up."""


class DoesNotRun(ExportError):
    """ONNX Runtime's own words."""


class BadPicture(ExportError):
    """It is missing, or cannot be decoded."""


class NotProven(ExportError):
    """An axis was to be dynamic and is not; `node` is what fixes it or gets it wrong."""

    def __init__(self, message: str, node: str | None = None) -> None:
        super().__init__(message)
        self.node = node


class NotFaster(ExportError):
    """A variant in less precision was not written; the fp32 model is as it was."""


class NotStamped(ExportError):
    """Something would be lost, or what was said does not fit the graph."""


class NotExpressible(NotStamped):
    """The model's axes cannot be said in another format without saying more than is true."""
