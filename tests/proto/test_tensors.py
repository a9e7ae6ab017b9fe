"""Tensors on the wire against bytes written by the standard library's `struct`."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb
from anyres_proto.errors import WireError
from anyres_proto.status import Problem
from anyres_proto.tensors import Array, to_array, to_tensor

CODES = {
    "uint8": (pb.DATA_TYPE_UINT8, "B"),
    "uint16": (pb.DATA_TYPE_UINT16, "H"),
    "float32": (pb.DATA_TYPE_FLOAT32, "f"),
    "float16": (pb.DATA_TYPE_FLOAT16, "e"),
    "float64": (pb.DATA_TYPE_FLOAT64, "d"),
    "int8": (pb.DATA_TYPE_INT8, "b"),
    "int16": (pb.DATA_TYPE_INT16, "h"),
    "int32": (pb.DATA_TYPE_INT32, "i"),
    "int64": (pb.DATA_TYPE_INT64, "q"),
    "uint32": (pb.DATA_TYPE_UINT32, "I"),
    "uint64": (pb.DATA_TYPE_UINT64, "Q"),
    "bool": (pb.DATA_TYPE_BOOL, "?"),
}


@st.composite
def arrays(draw: st.DrawFn) -> Array:
    shape = draw(st.lists(st.integers(1, 4), max_size=4))
    values = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    return values.astype(draw(st.sampled_from(sorted(CODES))))


@given(arrays())
def test_an_array_comes_back_as_it_went(array: Array) -> None:
    back = to_array(pb.Tensor.FromString(to_tensor(array).SerializeToString()))
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array, strict=True)


@given(arrays())
def test_the_bytes_are_row_major_and_little_endian(array: Array) -> None:
    tensor = to_tensor(array)
    data_type, letter = CODES[array.dtype.name]
    assert tensor.data_type == data_type
    assert tuple(tensor.shape) == array.shape
    assert tensor.data == struct.pack(f"<{array.size}{letter}", *array.ravel().tolist())


@pytest.mark.parametrize(
    "same",
    [
        pytest.param(np.asfortranarray, id="column-major"),
        pytest.param(lambda array: array.astype(">f4"), id="big-endian"),
        pytest.param(lambda array: np.repeat(array, 2, axis=1)[:, ::2], id="strided"),
    ],
)
def test_memory_layout_does_not_show_on_the_wire(same: object) -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert callable(same)
    assert to_tensor(same(array)) == to_tensor(array)


def test_an_array_from_the_wire_cannot_be_written_to() -> None:
    array = to_array(to_tensor(np.zeros((2, 2), np.uint8)))
    with pytest.raises(ValueError, match="read-only"):
        array[0, 0] = 1


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_other_types_cannot_travel(dtype: str) -> None:
    with pytest.raises(WireError, match=rf"{dtype} cannot travel; expected one of uint8, uint16"):
        to_tensor(np.zeros(2, dtype))


U8 = pb.DATA_TYPE_UINT8


@pytest.mark.parametrize(
    ("tensor", "complaint"),
    [
        (pb.Tensor(shape=[1], data=b"x"), "data_type 0; expected one of DATA_TYPE_UINT8"),
        (
            pb.Tensor.FromString(b"\x08\x63"),  # data_type 99, from a future version
            "data_type 99; expected one of DATA_TYPE_UINT8",
        ),
        (pb.Tensor(data_type=U8, shape=[2, 3], data=b"12345"), "needs 6 bytes; got 5"),
        (pb.Tensor(data_type=U8, shape=[2, 3], data=b"1234567"), "needs 6 bytes; got 7"),
        (pb.Tensor(data_type=pb.DATA_TYPE_FLOAT32, shape=[1], data=b"123"), "needs 4 bytes; got 3"),
        (pb.Tensor(data_type=U8, shape=[-1, -2], data=b"12"), "expected sizes of at least 1"),
        (pb.Tensor(data_type=U8, shape=[2**62, 0]), "expected sizes of at least 1"),
        (pb.Tensor(data_type=U8, shape=[2**62, 2**62], data=b"1"), "got 1"),
        (pb.Tensor(data_type=U8, shape=[1] * 100_000, data=b"1"), "100000 axes; expected at most"),
    ],
)
def test_a_tensor_that_contradicts_itself_is_refused(tensor: pb.Tensor, complaint: str) -> None:
    with pytest.raises(WireError, match=complaint) as caught:
        to_array(tensor)
    assert caught.value.problem is Problem.INVALID_REQUEST
