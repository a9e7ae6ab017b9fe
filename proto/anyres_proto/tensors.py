"""Arrays to tensors on the wire and back.

A tensor's bytes are row-major and little-endian. An array made from a tensor is a read-only view of
them: nothing is copied but what protobuf itself copies when a bytes field is read.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb
from anyres_proto.errors import WireError
from anyres_proto.packing import Part, field

Array: TypeAlias = NDArray[Any]

_DTYPES: dict[int, np.dtype[Any]] = {
    pb.DATA_TYPE_UINT8: np.dtype("u1"),
    pb.DATA_TYPE_UINT16: np.dtype("<u2"),
    pb.DATA_TYPE_FLOAT32: np.dtype("<f4"),
    pb.DATA_TYPE_FLOAT16: np.dtype("<f2"),
    pb.DATA_TYPE_FLOAT64: np.dtype("<f8"),
    pb.DATA_TYPE_INT8: np.dtype("i1"),
    pb.DATA_TYPE_INT16: np.dtype("<i2"),
    pb.DATA_TYPE_INT32: np.dtype("<i4"),
    pb.DATA_TYPE_INT64: np.dtype("<i8"),
    pb.DATA_TYPE_UINT32: np.dtype("<u4"),
    pb.DATA_TYPE_UINT64: np.dtype("<u8"),
    pb.DATA_TYPE_BOOL: np.dtype("?"),
}
_DATA_TYPES = {dtype: pb.DataType.ValueType(each) for each, dtype in _DTYPES.items()}
_MAX_AXES = 8
_DATA = pb.Tensor.DATA_FIELD_NUMBER


def to_tensor(array: Array) -> pb.Tensor:
    """The tensor that carries an array of integers, floats or truth values."""
    tensor = _described(array)
    tensor.data = bytes(_elements(array))
    return tensor


def tensor_parts(array: Array) -> tuple[Part, ...]:
    """The same tensor, serialized but not yet put together: the elements stay where they are."""
    return _described(array).SerializeToString(), *field(_DATA, _elements(array))


def to_array(tensor: pb.Tensor) -> Array:
    """The array that a tensor carries, read-only."""
    dtype, shape, data = _dtype(tensor), _shape(tensor), tensor.data
    needed = math.prod(shape) * dtype.itemsize
    if needed != len(data):
        raise WireError(
            f"a tensor of {dtype.name} with shape {list(shape)} needs {needed} bytes; "
            f"got {len(data)}"
        )
    return np.frombuffer(data, dtype).reshape(shape)


def _described(array: Array) -> pb.Tensor:
    """All of a tensor but its elements."""
    dtype = array.dtype.newbyteorder("<")
    if dtype not in _DATA_TYPES:
        known = ", ".join(each.name for each in _DATA_TYPES)
        raise WireError(f"an array of {array.dtype.name} cannot travel; expected one of {known}")
    return pb.Tensor(data_type=_DATA_TYPES[dtype], shape=array.shape)


def _elements(array: Array) -> memoryview:
    """The bytes of an array as they travel; a view of it where they are so already."""
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return little.reshape(-1).view(np.uint8).data


def _dtype(tensor: pb.Tensor) -> np.dtype[Any]:
    if tensor.data_type in _DTYPES:
        return _DTYPES[tensor.data_type]
    known = ", ".join(pb.DataType.Name(each) for each in _DATA_TYPES.values())
    raise WireError(f"a tensor has data_type {tensor.data_type}; expected one of {known}")


def _shape(tensor: pb.Tensor) -> tuple[int, ...]:
    if len(tensor.shape) > _MAX_AXES:
        raise WireError(f"a tensor has {len(tensor.shape)} axes; expected at most {_MAX_AXES}")
    if any(size < 1 for size in tensor.shape):
        raise WireError(f"a tensor has shape {list(tensor.shape)}; expected sizes of at least 1")
    return tuple(tensor.shape)
