"""Why a model was not evaluated.

CannotEvaluate (an ExportError)
├── BadLabel     a label is missing, of the wrong size, or says what the model does not know
└── DoesNotFit   a picture's size is none that the model takes, or takes more memory than there is
"""

from __future__ import annotations

from anyres_exporter.errors import ExportError


class CannotEvaluate(ExportError):
    """The model or what was asked for allows no evaluation."""


class BadLabel(CannotEvaluate):
    """Correct the file that is named, or leave its picture out."""


class DoesNotFit(CannotEvaluate):
    """Give pictures of other sizes, or a model that takes these."""
