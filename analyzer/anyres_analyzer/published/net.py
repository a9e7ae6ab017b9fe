"""Writes a network down as ONNX, layer by layer, with weights that are shapes until asked for.

    net = Net(channels=3)
    net.relu(net.conv(net.image, 64, 3, pad=1))
    net.model()                # to analyse: the weights lie in a file that nobody has
    net.model(weights=True)    # to run: seeded noise

A layer takes the feature it reads and returns the feature it makes, so a branch is a variable.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.random import Generator
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from anyres_analyzer.published import noise
from anyres_analyzer.published.noise import Noise

OPSET = 18
IR_VERSION = 8


@dataclass(frozen=True)
class Feature:
    """What a layer makes: a map (n, channels, h, w), or a vector (n, channels) of rank 2."""

    name: str
    channels: int
    rank: int = 4


@dataclass(frozen=True)
class _Weight:
    shape: tuple[int, ...]
    noise: Noise


class Net:
    """The layers so far; it gives what the last one makes."""

    def __init__(self, channels: int = 3) -> None:
        self.image = Feature("image", channels)
        self._nodes: list[onnx.NodeProto] = []
        self._features: dict[str, Feature] = {}
        self._weights: dict[str, _Weight] = {}
        self._constants: dict[str, NDArray[Any]] = {}

    def conv(
        self,
        x: Feature,
        channels: int,
        kernel: int,
        *,
        stride: int = 1,
        pad: int = 0,
        groups: int = 1,
        bias: bool = True,
        name: str = "",
    ) -> Feature:
        """A convolution with a square kernel."""
        name = name or self._next("conv")
        shape = (channels, x.channels // groups, kernel, kernel)
        inputs = [x.name, *self._learned(name, shape, noise.kernel, bias=channels * bias)]
        window = {"strides": [stride] * 2, "pads": [pad] * 4, "group": groups}
        return self._layer("Conv", Feature(name, channels), inputs, **window)

    def up_conv(
        self, x: Feature, channels: int, kernel: int, *, stride: int, bias: bool, name: str = ""
    ) -> Feature:
        """A transposed convolution with a square kernel, without padding."""
        name = name or self._next("up")
        shape = (x.channels, channels, kernel, kernel)
        inputs = [x.name, *self._learned(name, shape, noise.transposed, bias=channels * bias)]
        return self._layer("ConvTranspose", Feature(name, channels), inputs, strides=[stride] * 2)

    def linear(self, x: Feature, inputs: int, channels: int, *, name: str = "") -> Feature:
        """A fully connected layer; over a map, all of it, flattened to so many inputs."""
        if x.rank == 4:
            x = self._layer("Flatten", Feature(self._next("flat"), inputs, 2), [x.name])
        name = name or self._next("fc")
        learned = self._learned(name, (channels, inputs), noise.kernel, bias=channels)
        return self._layer("Gemm", Feature(name, channels, 2), [x.name, *learned], transB=1)

    def batch_norm(self, x: Feature) -> Feature:
        """Scale and bias, which are learned, and mean and variance, which are measured."""
        name = self._next("norm")
        of = {
            "scale": noise.near_one,
            "bias": noise.small,
            "mean": noise.small,
            "variance": noise.near_one,
        }
        inputs = [self._weight(f"{name}.{part}", (x.channels,), law) for part, law in of.items()]
        return self._layer("BatchNormalization", Feature(name, x.channels), [x.name, *inputs])

    def relu(self, x: Feature) -> Feature:
        """No less than 0."""
        return self._layer("Relu", Feature(self._next("relu"), x.channels, x.rank), [x.name])

    def relu6(self, x: Feature) -> Feature:
        """No less than 0 and no more than 6."""
        bounds = [self._constant(f"bound{n}", np.float32(n)) for n in (0, 6)]
        return self._layer("Clip", Feature(self._next("relu"), x.channels), [x.name, *bounds])

    def max_pool(
        self,
        x: Feature,
        kernel: int,
        *,
        pad: int = 0,
        ceil: bool = False,
        name: str = "",
    ) -> Feature:
        """A square window every 2 pixels; `ceil` keeps the last one that is not full."""
        window = {
            "kernel_shape": [kernel] * 2,
            "strides": [2, 2],
            "pads": [pad] * 4,
            "ceil_mode": int(ceil),
        }
        feature = Feature(name or self._next("pool"), x.channels)
        return self._layer("MaxPool", feature, [x.name], **window)

    def mean(self, x: Feature) -> Feature:
        """The mean over the whole map, as a map of one pixel."""
        return self._layer("GlobalAveragePool", Feature(self._next("mean"), x.channels), [x.name])

    def lrn(self, x: Feature) -> Feature:
        """AlexNet's normalization over 5 neighbouring channels."""
        feature = Feature(self._next("norm"), x.channels)
        return self._layer("LRN", feature, [x.name], size=5, alpha=1e-4, beta=0.75)

    def add(self, x: Feature, y: Feature) -> Feature:
        """The sum of two maps of one size."""
        return self._layer("Add", Feature(self._next("sum"), x.channels), [x.name, y.name])

    def concat(self, x: Feature, y: Feature) -> Feature:
        """The channels of both."""
        joined = Feature(self._next("join"), x.channels + y.channels)
        return self._layer("Concat", joined, [x.name, y.name], axis=1)

    def trim(self, x: Feature, border: int) -> Feature:
        """Without so many pixels at each side."""
        begin = self._constant(f"begin{border}", np.array([border] * 2))
        return self._slice(x, begin, self._constant(f"end{border}", np.array([-border] * 2)))

    def crop(self, x: Feature, like: Feature, offset: int, *, name: str = "") -> Feature:
        """As large as `like`, from so many pixels below and right of the corner: Caffe's Crop."""
        begin = self._constant(f"offset{offset}", np.array([offset] * 2))
        size = Feature(self._next("size"), 0, 1)
        self._layer("Shape", size, [like.name], start=2, end=4)
        end = self._layer("Add", Feature(self._next("end"), 0, 1), [size.name, begin])
        return self._slice(x, begin, end.name, name)

    def model(self, *names: str, weights: bool = False) -> onnx.ModelProto:
        """What the last layer makes, or those of these names, with nothing that they do not need.

        Without `weights` they are declared by shape alone: enough to analyse, not to run.
        """
        given = [self._features[name] for name in names or (next(reversed(self._features)),)]
        nodes = self._towards(given)
        used = {name for node in nodes for name in node.input}
        graph = helper.make_graph(
            nodes,
            "net",
            [_declared(self.image, "n", "h", "w")],
            [_declared(feature, None, None, None) for feature in given],
            [*self._fixed(used), *self._initial(used, weights=weights)],
        )
        opset = helper.make_opsetid("", OPSET)
        return helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)

    def _slice(self, x: Feature, begin: str, end: str, name: str = "") -> Feature:
        axes = self._constant("h_and_w", np.array([2, 3]))
        part = Feature(name or self._next("crop"), x.channels)
        return self._layer("Slice", part, [x.name, begin, end, axes])

    def _layer(
        self, operator: str, feature: Feature, inputs: Sequence[str], **attributes: Any
    ) -> Feature:
        assert feature.name not in self._features, f"two layers are called {feature.name}"
        node = helper.make_node(operator, inputs, [feature.name], feature.name, **attributes)
        self._nodes.append(node)
        self._features[feature.name] = feature
        return feature

    def _next(self, kind: str) -> str:
        return f"{kind}_{len(self._nodes)}"

    def _learned(
        self, name: str, shape: tuple[int, ...], law: Noise, *, bias: int
    ) -> Iterator[str]:
        yield self._weight(f"{name}.weight", shape, law)
        if bias:
            yield self._weight(f"{name}.bias", (bias,), noise.small)

    def _weight(self, name: str, shape: tuple[int, ...], law: Noise) -> str:
        self._weights[name] = _Weight(shape, law)
        return name

    def _constant(self, name: str, value: NDArray[Any] | np.generic) -> str:
        self._constants[name] = np.asarray(value)
        return name

    def _towards(self, given: Sequence[Feature]) -> list[onnx.NodeProto]:
        needed = {feature.name for feature in given}
        nodes = []
        for node in reversed(self._nodes):
            if needed.intersection(node.output):
                needed.update(node.input)
                nodes.append(node)
        return nodes[::-1]

    def _fixed(self, used: set[str]) -> Iterator[TensorProto]:
        for name, value in self._constants.items():
            if name in used:
                yield numpy_helper.from_array(value, name)

    def _initial(self, used: set[str], *, weights: bool) -> Iterator[TensorProto]:
        generator = np.random.default_rng(0)
        for name, weight in self._weights.items():
            if name in used:
                yield _filled(name, weight, generator) if weights else _elsewhere(name, weight)


def _filled(name: str, weight: _Weight, generator: Generator) -> TensorProto:
    return numpy_helper.from_array(weight.noise(generator, weight.shape), name)


def _elsewhere(name: str, weight: _Weight) -> TensorProto:
    tensor = TensorProto(name=name, dims=weight.shape, data_type=TensorProto.FLOAT)
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="missing.bin")
    return tensor


def _declared(feature: Feature, *open_dims: str | None) -> onnx.ValueInfoProto:
    batch, *pixels = open_dims
    dims = [batch, feature.channels, *pixels][: feature.rank]
    return helper.make_tensor_value_info(feature.name, TensorProto.FLOAT, dims)
