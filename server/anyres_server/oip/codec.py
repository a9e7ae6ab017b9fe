"""Tensors of the Open Inference Protocol to arrays and back, for networks of one input.

An input comes raw (little-endian, row-major) or element by element; an answer always goes raw,
because stock clients read nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from anyres_proto.card import AxisContract, Output
from anyres_proto.inference import grpc_service_pb2 as pb
from anyres_server.errors import InvalidRequest
from anyres_server.model import Array, Model

DATATYPES = {
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
    "bool": "BOOL",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
}
_CONTENTS = {"float32": "fp32_contents", "uint8": "uint_contents"}
_UNSERVED = {
    "shared_memory_region": "shared memory, which is not served; tensors travel in messages",
    "classification": "classification, which is not served; ask for the output as it is",
}


def to_images(request: pb.ModelInferRequest, model: Model) -> Array:
    """The one input of a request, in the model's type and layout.

    Raises:
        InvalidRequest: it is not what the model takes, it contradicts itself, or it comes with a
            wish for an output that the model does not have.
    """
    spec = model.card.input
    tensor = _the_input(request, model)
    shape = tuple(tensor.shape)
    if len(shape) != 4 or shape != spec.shape(shape[0], *spec.size(shape)) or min(shape) < 1:
        raise InvalidRequest(
            f"input {tensor.name!r} takes shape {_words(model_input(model))} "
            f"({_AXES[spec.layout]}; -1 is any); got {_words(shape)}"
        )
    if shape[0] > 1 and not model.network.batches:
        raise InvalidRequest(f"model {model.name!r} takes one image at a time; got {shape[0]}")
    images = _elements(request, tensor, spec.dtype)
    if images.size != prod(shape):
        raise InvalidRequest(
            f"input {tensor.name!r} with shape {_words(shape)} needs {prod(shape)} elements; "
            f"got {images.size}"
        )
    return images.reshape(shape)


_AXES = {"NCHW": "images, channels, height, width", "NHWC": "images, height, width, channels"}


def asked(request: pb.ModelInferRequest, model: Model) -> tuple[Output, ...]:
    """The outputs that a request asks for, in its order; all of them where it names none.

    Raises:
        InvalidRequest: the model does not have them, or they are wanted in a way that is not
            served.
    """
    outputs = {output.name: output for output in model.card.outputs}
    names = [output.name for output in request.outputs]
    for output in request.outputs:
        if output.name not in outputs:
            there = f"there {'is' if len(outputs) == 1 else 'are'} {', '.join(map(repr, outputs))}"
            raise InvalidRequest(f"model {model.name!r} has no output {output.name!r}; {there}")
        if names.count(output.name) > 1:
            times = names.count(output.name)
            raise InvalidRequest(f"output {output.name!r} is asked for {times} times")
        _check_parameters(output.parameters, f"output {output.name!r}")
    return tuple(outputs[name] for name in names or outputs)


def to_response(
    request: pb.ModelInferRequest,
    model: Model,
    outputs: Sequence[Output],
    values: Sequence[Array],
) -> pb.ModelInferResponse:
    """The network's outputs, as the answer to a request."""
    little = [value.astype(value.dtype.newbyteorder("<"), copy=False) for value in values]
    return pb.ModelInferResponse(
        model_name=model.name,
        model_version=model.version,
        id=request.id,
        outputs=[
            pb.ModelInferResponse.InferOutputTensor(
                name=output.name, datatype=DATATYPES[value.dtype.name], shape=value.shape
            )
            for output, value in zip(outputs, values, strict=True)
        ],
        raw_output_contents=[value.tobytes() for value in little],
    )


def model_input(model: Model) -> tuple[int, ...]:
    """The shape of the input; -1 is an axis of more than one size."""
    sizes = model.card.sizes
    return model.card.input.shape(_batch(model), _side(sizes.height), _side(sizes.width))


def model_output(model: Model, output: Output) -> tuple[int, ...]:
    """The shape of an output; -1 is an axis of more than one size."""
    sizes = model.card.sizes
    smallest = sizes.height.minimum, sizes.width.minimum
    shape = list(model.cost(smallest).output_shapes[output.name])
    for axis, side in zip(_sides(output, len(shape)), (sizes.height, sizes.width), strict=False):
        if _side(side) < 0:
            shape[axis] = -1
    return _batch(model), *shape[1:]


def _sides(output: Output, rank: int) -> tuple[int, ...]:
    """Which axes follow the image's height and width."""
    if not output.dense:
        return ()
    return (1, 2) if output.layout == "NHWC" else (rank - 2, rank - 1)


def _the_input(
    request: pb.ModelInferRequest, model: Model
) -> pb.ModelInferRequest.InferInputTensor:
    name = model.card.input.name
    if [tensor.name for tensor in request.inputs] != [name]:
        got = ", ".join(repr(tensor.name) for tensor in request.inputs) or "none"
        raise InvalidRequest(f"model {model.name!r} takes the one input {name!r}; got {got}")
    tensor = request.inputs[0]
    _check_parameters(tensor.parameters, f"input {name!r}")
    datatype = DATATYPES[model.card.input.dtype]
    if tensor.datatype != datatype:
        raise InvalidRequest(f"input {name!r} takes datatype {datatype}; got {tensor.datatype!r}")
    return tensor


def _elements(
    request: pb.ModelInferRequest, tensor: pb.ModelInferRequest.InferInputTensor, dtype: str
) -> Array:
    """The input's elements in one row, however they came."""
    contents, raw = tensor.contents, request.raw_input_contents
    kind, field = np.dtype(dtype).newbyteorder("<"), _CONTENTS[dtype]
    if not raw:
        wrong = [given.name for given, _ in contents.ListFields() if given.name != field]
        if wrong:
            raise InvalidRequest(f"an input of {DATATYPES[dtype]} comes in {field}; got {wrong[0]}")
        return _converted(getattr(contents, field), kind)
    if contents.ListFields():
        raise InvalidRequest("an input comes in raw_input_contents or in contents; got both")
    if len(raw) != 1:
        raise InvalidRequest(f"one input has one entry in raw_input_contents; got {len(raw)}")
    data = raw[0]
    if len(data) % kind.itemsize:
        raise InvalidRequest(
            f"raw elements of {DATATYPES[dtype]} take {kind.itemsize} bytes each; "
            f"got {len(data)} in all"
        )
    return np.frombuffer(data, kind)


def _converted(numbers: Sequence[float], kind: np.dtype[Any]) -> Array:
    """Numbers of a list; bytes come as wider ones on the wire."""
    if kind == np.uint8 and max(numbers, default=0) > 255:
        raise InvalidRequest(f"an input of UINT8 holds 0 to 255; got {max(numbers)}")
    return np.array(numbers, kind)


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
