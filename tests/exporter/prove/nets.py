"""Models as people have them: the ones that `anyres prove` is asked about."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Net(nn.Module):
    """All have the same layers and weights; they differ in what they do with them."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.head = nn.Conv2d(4, 2, 1)
        self.fc = nn.Linear(4, 5)
        self.wide = nn.Linear(4 * 64, 5)
        self.up = nn.ConvTranspose2d(4, 4, 2, stride=2)
        self.pool = nn.AdaptiveAvgPool2d(3)


class Dense(Net):
    """A map of half the size."""

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(F.relu(self.stem(x)))
        return y


class Upsampled(Net):
    """A map of one size, whatever goes in."""

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(self.head(self.stem(x)), size=(16, 16), mode="nearest")


class Follows(Net):
    """A map of the image's size."""

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(self.head(self.stem(x)), scale_factor=2.0, mode="nearest")


class Flattened(Net):
    """A head that contracts a map of 8x8."""

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.wide(self.stem(x).flatten(1))
        return y


class Rows(Net):
    """The same, but a map twice as large becomes two rows."""

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.wide(self.stem(x).reshape(-1, 4 * 64))
        return y


class Averaged(Net):
    """A head behind the map's mean."""

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc(self.stem(x).mean((2, 3)))
        return y


class Pooled(Net):
    """The same by a global pool."""

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc(F.adaptive_avg_pool2d(self.stem(x), 1).flatten(1))
        return y


class Adaptive(Net):
    """A context of 3x3 cells, added to the map."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x)
        added: Tensor = y + F.interpolate(self.pool(y), size=y.shape[-2:])
        return added


class Positions(Net):
    """A map of 8x8 cells, each with a number of its own."""

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.stem(x) + torch.linspace(-1, 1, 64).reshape(1, 1, 8, 8)
        return y


class Centred(Net):
    """Depends on the other images of its batch."""

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.stem(x)
        return y - y.mean(0, keepdim=True)


class Skip(Net):
    """A skip that needs an even size."""

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x[:, :1] + self.up(self.stem(x))
        return y


def dense(classes: int = 2) -> Dense:
    """The first, with another head."""
    net = Dense()
    net.head = nn.Conv2d(4, classes, 1)
    return net


def faint() -> Dense:
    """The first, its answers hardly more than the bias of its head."""
    net = Dense()
    with torch.no_grad():
        net.head.weight.mul_(1e-3)
    return net
