"""Networks whose answers depend on their images, and the layers of a network as they run.

Fresh weights hide mistakes: a thin, deep network drowns its signal in its biases, fresh batch norms
do nothing, and interpolations of the same kernel are one weight in a file. So every weight is drawn
anew, at a scale that keeps the signal's, and batch norm takes the statistics of noise.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402

LAYERS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.BatchNorm2d)


def lively(model: nn.Module, channels: int, size: tuple[int, int]) -> nn.Module:
    """The same model in eval mode, with weights that are seeded noise; `size` is one it takes."""
    torch.manual_seed(0)
    for layer in model.modules():
        if isinstance(layer, LAYERS):
            _drawn(layer)
    norms = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    model.eval()
    for norm in norms:
        norm.train()
    with torch.no_grad():
        model(torch.randn(4, channels, *size))
    return model.eval()


def as_they_run(model: nn.Module, channels: int, size: tuple[int, int]) -> Iterator[nn.Module]:
    """The layers that have weights, in the order in which an image meets them."""
    order: list[nn.Module] = []
    layers = [layer for layer in model.modules() if isinstance(layer, LAYERS)]
    hooks = [layer.register_forward_hook(lambda m, *_: order.append(m)) for layer in layers]
    with torch.no_grad():
        model.eval()(torch.zeros(1, channels, *size))
    for hook in hooks:
        hook.remove()
    yield from order


def spread(answer: Tensor) -> float:
    """How much an answer (n, c, ...) differs from place to place and image to image, of its size.

    Half its channels differ by more; 0 for an answer that is the same whatever the image.
    """
    channels = answer.movedim(1, 0).flatten(1)
    return float((channels.std(1) / channels.abs().amax(1)).median())


def _drawn(layer: nn.Module) -> None:
    weight, bias = layer.weight, layer.bias
    assert isinstance(weight, Tensor)
    if isinstance(layer, nn.BatchNorm2d):
        nn.init.uniform_(weight, 0.5, 1.5)
    elif isinstance(layer, nn.ConvTranspose2d):
        inputs = weight[:, 0].numel() / (layer.stride[0] * layer.stride[1])
        nn.init.normal_(weight, 0, (2 / inputs) ** 0.5)
    else:
        nn.init.kaiming_normal_(weight, nonlinearity="relu")
    if isinstance(bias, Tensor):
        nn.init.normal_(bias, 0, 0.1)
