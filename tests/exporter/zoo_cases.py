"""The networks of the zoo, a few channels wide, and what their architecture says of any image size.

What is expected is worked out by hand. A U-Net of d poolings takes multiples of 2^d. Of valid
convolutions with d = 2, 4 cells from the bottom are the fewest that leave any at the end, so 8 go
into it, 16 + 4 above, 40 + 4 pixels; the answers begin 20 pixels inside. Of an image on a grid half
as coarse, one pixel more is a rim without an answer. FCNs take everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from anyres_proto.card import Description, ImageInput

torch = pytest.importorskip("torch")

from tests.exporter.lively import lively  # noqa: E402
from torch import nn  # noqa: E402

from anyres_exporter.zoo.catalogue import CATALOGUE, Entry  # noqa: E402


@dataclass(frozen=True)
class Case:
    """A network, small, and what is true of it.

    `takes` are the smallest size and the step of either axis, `also` the smallest of further ones
    with that step, `outputs` the channels of each; output pixel i is centred on input pixel
    i + `offset`.
    """

    name: str
    arguments: Mapping[str, Any]
    outputs: Mapping[str, int]
    takes: tuple[int, int] | None = None  # None: the traced size alone
    also: tuple[int, ...] = ()
    offset: int = 0

    @property
    def entry(self) -> Entry:
        return CATALOGUE[self.name]

    def made(self) -> nn.Module:
        model = self.entry.factory(**self.arguments)
        return lively(model, self.entry.channels, self.entry.size)

    def description(self) -> Description:
        channels = self.entry.channels
        usual = {"channels": channels, "mean": (0.5,) * channels, "std": (0.25,) * channels}
        return Description(
            name=self.name, task=self.entry.task, input=ImageInput.model_validate(usual)
        )


THIN = {"classes": 5, "thinner": 16}
SCORES = {"logits": 5}
ALL = (1, 1)
QUICK = (  # one of each kind; the others, of the same layers, take as long again
    Case("resnet18", {**THIN, "values": 3}, {"logits": 5, "values": 3}),
    Case("fcn_vgg16", {"classes": 5, "thinner": 32, "stride": 8}, SCORES, ALL),
    Case(
        "original_unet", {"classes": 3, "width": 2, "depth": 2}, {"logits": 3}, (44, 4), offset=20
    ),
    Case(
        "unet_objects",
        {"classes": 3, "width": 4, "depth": 2, "branch": 4},
        {"semantic": 3, "centre": 1, "offset": 2},
        (4, 4),
    ),
)
SLOW = (
    Case("alexnet", THIN, SCORES),
    Case("vgg11", THIN, SCORES),
    Case("vgg16", {**THIN, "values": 1}, {"logits": 5, "values": 1}),
    Case("vgg19", THIN, SCORES),
    Case("alexnet", {**THIN, "values": 2}, {"logits": 5, "values": 2}),
    Case("resnet18", THIN, SCORES),
    Case("resnet50", THIN, SCORES),
    Case("mobilenet_v2", {"classes": 5, "thinner": 8}, SCORES),
    Case("mobilenet_v2", {"classes": 5, "values": 2, "thinner": 8}, {"logits": 5, "values": 2}),
    Case("fcn_alexnet", THIN, SCORES, ALL),
    *(Case("fcn_vgg16", {**THIN, "stride": stride}, SCORES, ALL) for stride in (32, 16)),
    *(Case("padded_fcn_vgg16", {**THIN, "stride": stride}, SCORES, ALL) for stride in (32, 16, 8)),
    *(Case("fcn_resnet18", {**THIN, "stride": stride}, SCORES, ALL) for stride in (32, 16, 8)),
    Case("fcn_resnet50", THIN, SCORES, ALL),
    Case("unet", {"classes": 3, "width": 2, "depth": 4, "widest": 6}, {"logits": 3}, (16, 16)),
    Case("original_unet", {"classes": 2, "width": 2}, {"logits": 2}, (188, 16), offset=92),
    Case(
        "coarse_unet",
        {"classes": 2, "width": 2, "depth": 2, "factor": 2},
        {"logits": 2},
        (8, 8),
        (9,),
    ),
    Case("unet_values", {"width": 4, "depth": 2}, {"values": 1}, (4, 4)),
    Case("unet_values", {"values": 2, "width": 4, "depth": 1}, {"values": 2}, (2, 2)),
)
