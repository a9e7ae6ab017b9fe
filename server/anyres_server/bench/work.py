"""What is asked, of which sizes: the same for the server and for the loop beside it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from anyres_proto.card import Card
from anyres_server.errors import InvalidRequest
from anyres_server.model import OutputKind, Size
from anyres_server.reduction.reduce import Reduction


class In(Enum):
    """How an image travels."""

    FP32 = "fp32"
    UINT8 = "uint8"
    PNG = "png"


class Out(Enum):
    """What is said about it."""

    LOGITS = "logits"
    CLASS_MAP = "class-map"


@dataclass(frozen=True, eq=False)
class Work:
    """Images of these sizes, how they travel, and what is asked about them."""

    card: Card
    sizes: tuple[Size, ...]
    grids: tuple[Size, ...]  # of the answers
    given: In
    wanted: Out

    @property
    def reduction(self) -> Reduction:
        """What is asked for, in the server's words."""
        kind = OutputKind.LOGITS if self.wanted is Out.LOGITS else OutputKind.CLASS_MAP
        return Reduction(self.card, (kind,))

    @property
    def plain(self) -> bool:
        """Whether tensors travel as the network has them: then by the Open Inference Protocol."""
        return self.given is In.FP32 and self.wanted is Out.LOGITS

    @property
    def pixels(self) -> int:
        """Of all images together."""
        return sum(height * width for height, width in self.sizes)


def check(card: Card, given: In, wanted: Out) -> None:
    """Refuse what a model cannot be asked.

    Raises:
        InvalidRequest: it does not take that, or does not give it.
    """
    spec = card.input
    if given is In.FP32 and spec.dtype != "float32":
        raise InvalidRequest(f"model {card.name!r} takes {spec.dtype}; use --input uint8 or png")
    if given is In.PNG and spec.channels not in (1, 3):
        raise InvalidRequest(f"{spec.channels} channels are no PNG; use --input fp32 or uint8")
    assert Work(card, (), (), given, wanted).reduction.outputs
