"""A `ModelInferRequest` understood: whose input it is, in which form, and what is wanted of it.

A model has one input, which comes in one of four forms:

    form      datatype           shape                     what it is
    TENSOR    the model's own    as the network takes it   what goes into the network, as it is
    TENSOR    FP16               as the network takes it   the same, for a network of FP32
    PIXELS    UINT8              (n, h, w, channels)       pixels that the card's rule scales
    FILES     BYTES              (n) or (n, 1)             encoded pictures, each of its own size
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from math import prod
from typing import Any, TypeAlias

import numpy as np

from anyres_proto.card import ImageInput
from anyres_proto.inference import grpc_service_pb2 as pb
from anyres_server.errors import InvalidRequest
from anyres_server.model import Array, Model, OutputKind
from anyres_server.oip import datatypes, parameters
from anyres_server.oip.contract import model_input
from anyres_server.oip.elements import Elements, Tensor
from anyres_server.oip.parameters import OF_INPUT, OF_REQUEST, Parameters, check_known
from anyres_server.oip.shared_memory import Regions, Window
from anyres_server.oip.shown import all_quoted, axes, quoted
from anyres_server.oip.wishes import Wish, wishes
from anyres_server.reduction.scores import How

MOST_PICTURES = 256  # in one request that is answered picture by picture
MOST_AXES = 8
US = 1e-6

Images: TypeAlias = "Array | tuple[bytes, ...]"


class Form(Enum):
    """In which form images come."""

    TENSOR = "as the network takes it"
    PIXELS = "pixels"
    FILES = "encoded pictures"


@dataclass(frozen=True, eq=False)
class Asked:
    """One request; its images are read when there is room for them."""

    model: Model
    form: Form
    shape: tuple[int, ...]
    read: Callable[[], Images]
    wishes: tuple[Wish, ...]
    how: How
    within_s: float | None  # the answer is of no use later
    tiles: bool  # whether results are wanted tile by tile

    @property
    def images(self) -> int:
        """How many."""
        return self.shape[0]

    @property
    def reduced(self) -> bool:
        """Whether something is made of the network's outputs, image by image."""
        return any(isinstance(wish.source, OutputKind) for wish in self.wishes)

    def tensor(self) -> Array:
        """The images as the network takes them; only for that form."""
        images = self.read()
        assert isinstance(images, np.ndarray)
        return images


def understood(request: pb.ModelInferRequest, model: Model, regions: Regions) -> Asked:
    """What a request asks for.

    Raises:
        InvalidRequest: it is not what the model takes, or it contradicts itself.
        RegionNotFound: its input or output is in a region that is not registered.
    """
    check_known(request.parameters, OF_REQUEST, "a request")
    _refuse_sequences(request)
    elements = _the_input(request, model, regions)
    tensor, spec = elements.tensor, model.card.input
    form = _form(tensor, spec)
    read = _CHECKS[form](elements, model)
    timeout = parameters.number(request.parameters, "timeout")
    return Asked(
        model,
        form,
        tuple(tensor.shape),
        read,
        wishes(request, model, regions, tensors=form is Form.TENSOR),
        _how(request.parameters),
        timeout * US if timeout else None,
        parameters.flag(request.parameters, "tiles"),
    )


def _how(given: Parameters) -> How:
    """Usually as it is usual."""
    told: dict[str, Any] = {
        "top_k": parameters.number(given, "top_k", least=1),
        "threshold": parameters.fraction(given, "threshold"),
        "threshold_class": parameters.number(given, "threshold_class"),
    }
    return replace(How(), **{name: value for name, value in told.items() if value is not None})


def _refuse_sequences(request: pb.ModelInferRequest) -> None:
    if "sequence_id" in request.parameters:
        raise InvalidRequest("there are no sequences here: every request stands for itself")


def _the_input(request: pb.ModelInferRequest, model: Model, regions: Regions) -> Elements:
    name = model.card.input.name
    if len(request.inputs) != 1 or request.inputs[0].name != name:
        got = all_quoted(tensor.name for tensor in request.inputs)
        raise InvalidRequest(f"model {model.name!r} takes the one input {name!r}; got {got}")
    tensor = request.inputs[0]
    check_known(tensor.parameters, OF_INPUT, "an input")
    if not 0 < len(tensor.shape) <= MOST_AXES or min(tensor.shape) < 1:
        raise _wrong_shape(tensor, model_input(model))
    window, raw = _window(tensor, regions), request.raw_input_contents
    if (raw or window) and tensor.HasField("contents"):
        raise InvalidRequest("an input comes in one way; got contents and another")
    expected = 0 if window else 1
    if raw and len(raw) != expected:
        raise InvalidRequest(
            f"raw_input_contents has one entry for each input that is not in shared memory, "
            f"here {expected}; got {len(raw)}"
        )
    return Elements(tensor, prod(tensor.shape), raw[0] if raw else None, window)


def _window(tensor: Tensor, regions: Regions) -> Window | None:
    return regions.named(tensor.parameters, f"input {quoted(tensor.name)}")


def datatypes_taken(spec: ImageInput) -> Mapping[str, Form]:
    """The datatypes in which an input comes, and what each means."""
    own = datatypes.datatype(spec.dtype)
    half = {datatypes.FP16.name: Form.TENSOR, datatypes.UINT8.name: Form.PIXELS}
    return {
        own.name: Form.TENSOR,
        **(half if own is datatypes.FP32 else {}),
        datatypes.BYTES: Form.FILES,
    }


def _form(tensor: Tensor, spec: ImageInput) -> Form:
    forms = datatypes_taken(spec)
    if tensor.datatype not in forms:
        raise InvalidRequest(
            f"input {spec.name!r} takes datatype {' or '.join(forms)}; got "
            f"{quoted(tensor.datatype)}"
        )
    return forms[tensor.datatype]


def _tensor(elements: Elements, model: Model) -> Callable[[], Images]:
    spec, shape = model.card.input, tuple(elements.tensor.shape)
    if len(shape) != 4 or shape != spec.shape(shape[0], *spec.size(shape)):
        raise _wrong_shape(elements.tensor, model_input(model), spec.layout)
    if shape[0] > 1 and not model.network.batches:
        raise InvalidRequest(f"model {model.name!r} takes one image at a time; got {shape[0]}")
    half = elements.tensor.datatype == datatypes.FP16.name
    read = elements.numbers(datatypes.FP16 if half else datatypes.datatype(spec.dtype))
    return lambda: read().reshape(shape).astype(spec.dtype, copy=False)


def _pixels(elements: Elements, model: Model) -> Callable[[], Images]:
    spec, shape = model.card.input, tuple(elements.tensor.shape)
    if len(shape) != 4 or shape[3] != spec.channels:
        raise _wrong_shape(elements.tensor, (-1, -1, -1, spec.channels), "NHWC")
    _check_pictures(shape[0])
    read = elements.numbers(datatypes.UINT8)
    return lambda: read().reshape(shape)


def _files(elements: Elements, model: Model) -> Callable[[], Images]:
    shape = tuple(elements.tensor.shape)
    if len(shape) > 2 or shape[1:] not in ((), (1,)):
        raise _wrong_shape(elements.tensor, (-1,))
    _check_pictures(shape[0])
    return elements.files()


_CHECKS = {Form.TENSOR: _tensor, Form.PIXELS: _pixels, Form.FILES: _files}


def _check_pictures(count: int) -> None:
    if count > MOST_PICTURES:
        raise InvalidRequest(
            f"one request holds at most {MOST_PICTURES} pictures; got {count}: send several"
        )


def _wrong_shape(tensor: Tensor, wanted: Sequence[int], layout: str = "") -> InvalidRequest:
    meaning = f"{_AXES[layout]}; " if layout else ""
    return InvalidRequest(
        f"input {quoted(tensor.name)} of {quoted(tensor.datatype)} takes shape {axes(wanted)} "
        f"({meaning}-1 is any); got {axes(tensor.shape)}"
    )


_AXES = {"NCHW": "images, channels, height, width", "NHWC": "images, height, width, channels"}


def one_image(asked: Asked, images: Images, index: int) -> bytes | Array:
    """One of the images, in the form in which every protocol's images are predicted.

    That is a file, uint8 pixels (h, w, channels) in the order of the card's colours RGB or GRAY,
    or float32 (channels, h, w).
    """
    if isinstance(images, tuple):
        return images[index]
    image: Array = images[index]
    spec = asked.model.card.input
    if asked.form is Form.PIXELS:
        return image
    if spec.dtype == "float32":
        return np.moveaxis(image, -1, 0) if spec.layout == "NHWC" else image
    pixels: Array = image if spec.layout == "NHWC" else np.moveaxis(image, 0, -1)
    return pixels[:, :, ::-1] if spec.colour == "BGR" else pixels
