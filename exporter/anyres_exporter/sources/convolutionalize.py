"""A classifier with fully connected layers becomes a network that answers at every position.

A fully connected layer over a k x k map of C channels is a k x k convolution whose weights are
the layer's, reshaped (out, C, k, k); each one after it is a 1x1 convolution. Slid over a larger
map, it gives the classifier's answer for every window (Long et al., "Fully Convolutional Networks
for Semantic Segmentation", 2015). Behind a global average pool k is 1, and because pooling and the
layer are both linear, the mean of the dense map is the classifier's own answer:

    mean over cells of (W x + b)  =  W (mean of x) + b
"""

from __future__ import annotations

from math import isqrt

import torch
from torch import nn

from anyres_exporter.errors import BadRecipe


def convolutionalize(model: nn.Module, *, probe: tuple[int, int] = (224, 224)) -> nn.Sequential:
    """The fully convolutional form of a model with `features` and a `classifier` of linear layers.

    The weights are shared with `model`, not copied. `probe` is an image size (h, w) that `features`
    takes; it is run once to learn the number of channels.

    Raises:
        BadRecipe: the model has no such parts, or its classifier holds something else than linear
            layers, activations and dropout.
    """
    features, classifier = _parts(model)
    channels = _channels(features, probe)
    layers: list[nn.Module] = []
    for layer in classifier:
        if isinstance(layer, nn.Linear):
            layers.append(convolution_of(layer, channels))
            channels = layer.out_features
        elif isinstance(layer, _POINTWISE):
            layers.append(layer)
        else:
            raise BadRecipe(
                f"the classifier holds a {type(layer).__name__}; it can be made convolutional when "
                "it holds linear layers, activations and dropout only"
            )
    return nn.Sequential(features, *layers)


_POINTWISE = (nn.Dropout, nn.Identity, nn.ReLU, nn.ReLU6, nn.GELU, nn.SiLU, nn.Hardswish, nn.Tanh)


def convolution_of(linear: nn.Linear, channels: int) -> nn.Conv2d:
    """The convolution over `channels` maps that equals a linear layer over a flattened k x k map.

    Raises:
        BadRecipe: the layer's inputs are not channels * k * k for a whole k.
    """
    kernel = isqrt(linear.in_features // channels)
    if channels * kernel * kernel != linear.in_features:
        raise BadRecipe(
            f"a linear layer over {linear.in_features} values is no square window of {channels} "
            "channels; it cannot be turned into a convolution"
        )
    convolution = nn.Conv2d(
        channels, linear.out_features, kernel, bias=linear.bias is not None, device="meta"
    )
    shape = (linear.out_features, channels, kernel, kernel)
    convolution.weight = nn.Parameter(linear.weight.detach().reshape(shape))
    if linear.bias is not None:
        convolution.bias = nn.Parameter(linear.bias.detach())
    return convolution


def _parts(model: nn.Module) -> tuple[nn.Module, nn.Sequential]:
    features, classifier = getattr(model, "features", None), getattr(model, "classifier", None)
    if isinstance(classifier, nn.Linear):
        classifier = nn.Sequential(classifier)
    if not isinstance(features, nn.Module) or not isinstance(classifier, nn.Sequential):
        raise BadRecipe(
            f"{type(model).__name__} cannot be convolutionalized: it needs `features` (a module "
            "that ends in a map) and `classifier` (its fully connected layers)"
        )
    return features, classifier


def _channels(features: nn.Module, probe: tuple[int, int]) -> int:
    training = features.training
    features.eval()
    with torch.inference_mode():
        maps = features(torch.zeros(1, 3, *probe))
    features.train(training)
    return int(maps.shape[1])
