"""The last layer of a classifier: scores of the classes, and numbers beside them where asked for.

features (n, f) ─┬─ linear ──> logits (n, classes)
                 └─ linear ──> values (n, values)      an age, a count, a price, ...
"""

from __future__ import annotations

from typing import TypeAlias

from torch import Tensor, nn
from torch.nn import functional as F

Answer: TypeAlias = Tensor | dict[str, Tensor]  # of a network: one tensor, or several by name


class ClassesAndValues(nn.Module):
    """(n, features) to {"logits": (n, classes), "values": (n, values)}.

    The classes' weights have the names that an `nn.Linear` gives them, so what a classifier was
    trained to fits here too, and `values.*` is all that is missing.
    """

    def __init__(self, features: int, classes: int, values: int) -> None:
        super().__init__()
        scores = nn.Linear(features, classes)
        self.weight, self.bias = scores.weight, scores.bias
        self.values = nn.Linear(features, values)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Both answers for the whole image."""
        return {"logits": F.linear(x, self.weight, self.bias), "values": self.values(x)}


def last_layer(features: int, classes: int, values: int) -> nn.Module:
    """A linear layer; with `values` > 0, so many numbers beside the classes."""
    return ClassesAndValues(features, classes, values) if values else nn.Linear(features, classes)
