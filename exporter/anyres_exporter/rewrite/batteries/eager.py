"""The same in PyTorch eager: the independent oracle that a fitted graph is proven against."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from anyres_exporter.rewrite.batteries.batteries import AnswerKind, Batteries, index_dtype
from anyres_exporter.trace.outputs import named
from anyres_proto.card import ImageInput


class Fitted(nn.Module):
    """A network with batteries.

    Args:
        network: takes (n, c, h, w) floats.
        image: what the network's own input is made of.
        batteries: what to do beside it.
        probable: whether the network's first output is made of probabilities already.
    """

    def __init__(
        self, network: nn.Module, image: ImageInput, batteries: Batteries, *, probable: bool = False
    ) -> None:
        super().__init__()
        self.network = network
        self.image = image
        self.batteries = batteries
        self.probable = probable

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Every output by name, of (n, h, w, c) bytes or (n, c, h, w) floats."""
        own = named(self.network(self._planes(image)))
        first = next(iter(own.values()))
        made = ANSWERS[self.batteries.answer](self._probabilities(first), self.batteries)
        answers = dict(zip(self.batteries.answers(tuple(own)), made, strict=True)) | own
        ordered = {name: answers[name] for name in self.batteries.names(tuple(own))}
        last = self.batteries.layout == "NHWC"
        return {
            name: value.permute(0, 2, 3, 1) if last and value.ndim == 4 else value
            for name, value in ordered.items()
        }

    def _planes(self, image: Tensor) -> Tensor:
        if self.batteries.pixels == "float":
            return image
        planes = image.to(torch.float32).permute(0, 3, 1, 2)
        if self.image.colour == "BGR":
            planes = planes.flip(1)
        mean, std = (
            torch.tensor(each)[:, None, None] for each in (self.image.mean, self.image.std)
        )
        return (planes * self.image.scale - mean) / std

    def _probabilities(self, scores: Tensor) -> Tensor:
        if self.probable:
            return scores
        by_channel = self.batteries.answer in ("sigmoid", "mask")
        return scores.sigmoid() if by_channel else scores.softmax(1)


def _classes(probabilities: Tensor, batteries: Batteries) -> tuple[Tensor, ...]:
    return (_indices(probabilities.argmax(1), probabilities),)


def _best(probabilities: Tensor, batteries: Batteries) -> tuple[Tensor, ...]:
    best = probabilities.topk(batteries.k, 1)
    return _indices(best.indices, probabilities), best.values


def _mask(probabilities: Tensor, batteries: Batteries) -> tuple[Tensor, ...]:
    mask = (probabilities > batteries.threshold).to(torch.uint8)
    return (mask.squeeze(1) if mask.shape[1] == 1 else mask,)


def _indices(found: Tensor, probabilities: Tensor) -> Tensor:
    dtype: torch.dtype = getattr(torch, index_dtype(probabilities.shape[1]))
    return found.to(dtype)


ANSWERS: Mapping[AnswerKind, Callable[[Tensor, Batteries], tuple[Tensor, ...]]] = {
    "logits": lambda probabilities, batteries: (),
    "softmax": lambda probabilities, batteries: (probabilities,),
    "sigmoid": lambda probabilities, batteries: (probabilities,),
    "argmax": _classes,
    "top_k": _best,
    "mask": _mask,
}


def pixels(batch: int, channels: int, height: int, width: int) -> NDArray[np.uint8]:
    """Seeded random bytes (batch, height, width, channels), the same for the same size."""
    generator = np.random.default_rng((batch, channels, height, width))
    return generator.integers(0, 256, (batch, height, width, channels), np.uint8)
