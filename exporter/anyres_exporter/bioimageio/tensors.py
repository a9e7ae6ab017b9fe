"""A model's tensors in the words of bioimage.io: `inputs` and `outputs` of an rdf.yaml, format 0.5.

Whoever reads that format may take any size that it allows, so no more is written than is true, and
less where it lacks the words:

    ours                              theirs
    minimum + k * step                size: {min, step}
    maximum                           none: one fixed size
    stride, length of the output      scale; size: {tensor_id, axis_id, offset}
    halo before, after: input pixels  halo: one for both sides, in output pixels
    alignment                         none: min, step and halo are multiples of it
    tiles are exact                   concatenable: true

How sizes are made to fit is told in `spans`; what could not be said follows as comments.
Preprocessing is left to the author. Source: `bioimageio.spec.model.v0_5`.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, count
from math import lcm

from onnx import TensorProto

from anyres_analyzer import Analysis
from anyres_analyzer.graph.stored import type_name
from anyres_analyzer.shapes.tensor import Tensors
from anyres_exporter.bioimageio.spans import Span, span
from anyres_exporter.bioimageio.yaml_text import Plain, blocks
from anyres_exporter.errors import NotExpressible
from anyres_proto.card import Description

_TYPES: dict[int, str] = {
    TensorProto.FLOAT: "float32",
    TensorProto.DOUBLE: "float64",
    TensorProto.UINT8: "uint8",
    TensorProto.INT8: "int8",
    TensorProto.UINT16: "uint16",
    TensorProto.INT16: "int16",
    TensorProto.UINT32: "uint32",
    TensorProto.INT32: "int32",
    TensorProto.UINT64: "uint64",
    TensorProto.INT64: "int64",
}
_COLOURS = {"RGB": ("red", "green", "blue"), "BGR": ("blue", "green", "red"), "GRAY": ("gray",)}
_LONGEST_ID, _LONGEST_DESCRIPTION = 32, 128
_SPACE = ("y", "x")


@dataclass(frozen=True)
class Fragment:
    """The part of an rdf.yaml that describes tensors, and what there were no words for."""

    tensors: dict[str, Plain]
    unsaid: tuple[str, ...]

    def __str__(self) -> str:
        """YAML, with the unsaid as comments."""
        head = ("bioimage.io model description, format 0.5: its tensors", *self.unsaid)
        return "\n".join([*(f"# {line}" for line in head), *blocks(self.tensors), ""])


def fragment(analysis: Analysis, description: Description) -> Fragment:
    """The tensors of a model.

    Raises:
        NotExpressible: a tensor's type, batch or shape is nothing that the format knows.
    """
    return _Writer(analysis, description, (span(analysis, 0), span(analysis, 1))).fragment()


class _Writer:
    """Keeps what every axis is written from."""

    def __init__(
        self, analysis: Analysis, description: Description, spans: tuple[Span, Span]
    ) -> None:
        self._analysis = analysis
        self._description = description
        self._spans = spans
        self._ids = _ids([analysis.input.name, *(output.name for output in analysis.outputs)])

    def fragment(self) -> Fragment:
        height, width = (along.unsaid for along in self._spans)
        axes = {"y, x": height} if height == width else {"y": height, "x": width}
        unsaid = (f"{axis}: {line}" for axis, lines in axes.items() for line in lines)
        outputs: list[Plain] = [self._output(i) for i in range(len(self._analysis.outputs))]
        return Fragment({"inputs": [self._input()], "outputs": outputs}, tuple(unsaid))

    def _input(self) -> Plain:
        image = self._analysis.input
        colours = _COLOURS[self._description.input.colour]
        names = colours if len(colours) == image.channels else _numbered(image.channels)
        by_letter = {
            "N": self._batch,
            "C": _channels(names),
            "H": self._image_axis(0),
            "W": self._image_axis(1),
        }
        axes = [by_letter[letter] for letter in image.layout]
        return _tensor(self._ids[0], image.name, image.elem_type, axes)

    def _image_axis(self, axis: int) -> Plain:
        along = self._spans[axis]
        size: Plain = {"min": along.minimum, "step": along.step} if along.step else along.minimum
        written: dict[str, Plain] = {"type": "space", "id": _SPACE[axis], "size": size}
        if self._unit(axis) != 1:
            written["scale"] = float(self._unit(axis))
        if along.halo is not None:
            written["concatenable"] = True
        return written

    def _unit(self, axis: int) -> int:
        """What an input pixel counts, so that every output's scale is exact in binary."""
        denominators = (output.stride[axis].denominator for output in self._analysis.outputs)
        return lcm(*(n for n in denominators if n & (n - 1)))

    def _output(self, index: int) -> Plain:
        output = self._analysis.outputs[index]
        tensor = self._tensors()[output.name]
        self._refuse_batch(output.name)
        axes: list[Plain] = [self._batch]
        if output.dense:
            axes += [self._output_axis(index, letter) for letter in output.layout[1:]]
        elif len(tensor.shape) > 1:
            axes += [self._channels(index), *self._fixed_axes(output.name)]
        return _tensor(self._ids[1 + index], output.name, tensor.elem_type, axes)

    def _output_axis(self, index: int, letter: str) -> Plain:
        if letter == "C":
            return self._channels(index)
        axis = "HW".index(letter)
        along, stride = self._spans[axis], self._analysis.outputs[index].stride[axis]
        size: dict[str, Plain] = {"tensor_id": self._ids[0], "axis_id": _SPACE[axis]}
        if along.offsets[index]:
            size["offset"] = along.offsets[index]
        written: dict[str, Plain] = {"type": "space", "id": _SPACE[axis], "size": size}
        if stride * self._unit(axis) != 1:
            written["scale"] = float(stride * self._unit(axis))
        if along.halo:
            written["halo"] = _whole(along.halo / stride)
        return written

    def _fixed_axes(self, output: str) -> Iterator[Plain]:
        """Of an output that is no map of the image: its shape must not follow the image's."""
        shape = self._tensors()[output].shape
        if shape != self._tensors(steps=1)[output].shape:
            raise _unknown(output, "grows with the image and is no map of it")
        for index, size in enumerate(shape[2:]):
            yield {"type": "index", "id": f"index{index}", "size": size}

    def _channels(self, index: int) -> Plain:
        names = tuple(each.name for each in self._description.classes)
        channels = self._analysis.outputs[index].channels
        return _channels(names if index == 0 and len(names) == channels else _numbered(channels))

    @property
    def _batch(self) -> Plain:
        declared = self._analysis.graph.image.dims[0]
        if not isinstance(declared, int):
            return {"type": "batch"}
        if declared != 1:
            raise NotExpressible(
                f"bioimage.io has no words for a batch of exactly {declared} images"
            )
        return {"type": "batch", "size": 1}

    def _refuse_batch(self, output: str) -> None:
        """An output whose first dimension is something else than the image's."""
        sizes = (1, 2) if self._analysis.input.dynamic_batch else (1,)
        for batch in sizes:
            shape = self._tensors(batch=batch)[output].shape
            if not shape or shape[0] != batch:
                raise _unknown(output, f"has shape {shape} for a batch of {batch}")

    def _tensors(self, *, steps: int = 0, batch: int = 1) -> Tensors:
        height, width = (along.minimum + steps * along.step for along in self._spans)
        return self._analysis.shapes.at(height, width, batch)


def _tensor(name: str, called: str, elem_type: int, axes: list[Plain]) -> Plain:
    data = _TYPES.get(elem_type)
    if data is None:
        raise NotExpressible(
            f"bioimage.io has no words for '{called}': it is {type_name(elem_type)}"
        )
    written: dict[str, Plain] = {"id": name}
    if name != called:
        written["description"] = f"'{called}' in the file"[:_LONGEST_DESCRIPTION]
    return written | {"data": {"type": data}, "axes": axes}


def _unknown(output: str, why: str) -> NotExpressible:
    return NotExpressible(f"bioimage.io has no words for output '{output}': it {why}")


def _channels(names: tuple[str, ...]) -> Plain:
    return {"type": "channel", "channel_names": list(names)}


def _numbered(channels: int) -> tuple[str, ...]:
    return tuple(f"channel{index}" for index in range(channels))


def _whole(outputs: Fraction) -> int:
    assert outputs.denominator == 1, "a halo on the alignment is whole outputs"
    return outputs.numerator


def _ids(names: list[str]) -> list[str]:
    """Their tensor ids are Python identifiers in lower case, each once."""
    found: list[str] = []
    for name in names:
        plain = re.sub(r"[^a-z0-9_]", "_", name.lower()).lstrip("_0123456789")[:_LONGEST_ID]
        plain = f"{plain}_" if keyword.iskeyword(plain) else plain or "tensor"
        others = (f"{plain[: _LONGEST_ID - 6]}_{index}" for index in count(1))
        found.append(next(wanted for wanted in chain([plain], others) if wanted not in found))
    return found
