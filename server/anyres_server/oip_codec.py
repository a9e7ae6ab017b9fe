"""Tensors of the Open Inference Protocol to arrays and back, for networks of one input and output.

An input comes raw (little-endian, row-major) or element by element; an answer always goes raw,
because stock clients read nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np

from anyres_proto.card import AxisContract
from anyres_proto.inference import grpc_service_pb2 as pb
from anyres_server.errors import InvalidRequest
from anyres_server.model import Floats, Model

FP32 = "FP32"
_DTYPE = np.dtype("<f4")
_UNSERVED = {
    "shared_memory_region": "shared memory, which is not served; tensors travel in messages",
    "classification": "classification, which is not served; ask for the output as it is",
}


def to_images(request: pb.ModelInferRequest, model: Model) -> Floats:
    """The one input of a request: (n, channels, h, w).

    Raises:
        InvalidRequest: it is not what the model takes, it contradicts itself, or it comes with a
            wish for an output that the model does not have.
    """
    _check_outputs(request, model)
    tensor = _the_input(request, model)
    shape = tuple(tensor.shape)
    if len(shape) != 4 or shape[1] != model.card.input.channels or min(shape) < 1:
        raise InvalidRequest(
            f"input {tensor.name!r} takes shape {_words(model_input(model))} "
            f"(images, channels, height, width; -1 is any); got {_words(shape)}"
        )
    if shape[0] > 1 and not model.network.batches:
        raise InvalidRequest(f"model {model.name!r} takes one image at a time; got {shape[0]}")
    images = _elements(request, tensor)
    if images.size != prod(shape):
        raise InvalidRequest(
            f"input {tensor.name!r} with shape {_words(shape)} needs {prod(shape)} elements; "
            f"got {images.size}"
        )
    return images.reshape(shape)


def to_response(
    request: pb.ModelInferRequest, model: Model, output: Floats
) -> pb.ModelInferResponse:
    """The network's output, as the answer to a request."""
    name = model.card.output.name
    tensor = pb.ModelInferResponse.InferOutputTensor(name=name, datatype=FP32, shape=output.shape)
    return pb.ModelInferResponse(
        model_name=model.name,
        model_version=model.version,
        id=request.id,
        outputs=[tensor],
        raw_output_contents=[output.astype(_DTYPE, copy=False).tobytes()],
    )


def model_input(model: Model) -> tuple[int, ...]:
    """The shape of the input; -1 is an axis of more than one size."""
    sizes = model.card.sizes
    return _batch(model), model.card.input.channels, _side(sizes.height), _side(sizes.width)


def model_output(model: Model) -> tuple[int, ...]:
    """The shape of the output; -1 is an axis of more than one size."""
    sizes, output = model.card.sizes, model.card.output
    smallest = sizes.height.minimum, sizes.width.minimum
    grid = model.cost(smallest).output_shape[2:]  # empty where an image gets one answer
    follows = [output.dense and _side(axis) < 0 for axis in (sizes.height, sizes.width)]
    sides = (-1 if free else side for side, free in zip(grid, follows[: len(grid)], strict=True))
    return _batch(model), output.channels, *sides


def _check_outputs(request: pb.ModelInferRequest, model: Model) -> None:
    """Refuse a request for outputs that the model does not have; none at all means every one."""
    name = model.card.output.name
    for output in request.outputs:
        if output.name != name:
            raise InvalidRequest(
                f"model {model.name!r} has no output {output.name!r}; there is {name!r}"
            )
        _check_parameters(output.parameters, f"output {name!r}")
    if len(request.outputs) > 1:
        raise InvalidRequest(f"output {name!r} is asked for {len(request.outputs)} times")


def _the_input(
    request: pb.ModelInferRequest, model: Model
) -> pb.ModelInferRequest.InferInputTensor:
    name = model.card.input.name
    if [tensor.name for tensor in request.inputs] != [name]:
        got = ", ".join(repr(tensor.name) for tensor in request.inputs) or "none"
        raise InvalidRequest(f"model {model.name!r} takes the one input {name!r}; got {got}")
    tensor = request.inputs[0]
    _check_parameters(tensor.parameters, f"input {name!r}")
    if tensor.datatype != FP32:
        raise InvalidRequest(f"input {name!r} takes datatype {FP32}; got {tensor.datatype!r}")
    return tensor


def _elements(
    request: pb.ModelInferRequest, tensor: pb.ModelInferRequest.InferInputTensor
) -> Floats:
    """The input's elements in one row, however they came."""
    contents, raw = tensor.contents, request.raw_input_contents
    if not raw:
        wrong = [field.name for field, _ in contents.ListFields() if field.name != "fp32_contents"]
        if wrong:
            raise InvalidRequest(f"an input of {FP32} comes in fp32_contents; got {wrong[0]}")
        return np.array(contents.fp32_contents, np.float32)
    if contents.ListFields():
        raise InvalidRequest("an input comes in raw_input_contents or in contents; got both")
    if len(raw) != 1:
        raise InvalidRequest(f"one input has one entry in raw_input_contents; got {len(raw)}")
    data = raw[0]
    if len(data) % _DTYPE.itemsize:
        raise InvalidRequest(
            f"raw elements of {FP32} take {_DTYPE.itemsize} bytes each; got {len(data)} in all"
        )
    return np.frombuffer(data, _DTYPE)


def _check_parameters(parameters: Mapping[str, pb.InferParameter], owner: str) -> None:
    """Refuse what would change the answer's meaning; hints that change only its time may pass."""
    for name, what in _UNSERVED.items():
        if name in parameters:
            raise InvalidRequest(f"{owner} asks for {what}")


def _batch(model: Model) -> int:
    return -1 if model.network.batches else 1


def _side(axis: AxisContract) -> int:
    return axis.minimum if axis.minimum == axis.maximum else -1


def _words(shape: Sequence[int]) -> str:
    return "[" + ", ".join(map(str, shape)) + "]"
