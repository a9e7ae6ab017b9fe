"""Messages that are put together by hand are those that protobuf would have written."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb
from anyres_proto.packing import field
from anyres_proto.tensors import tensor_parts, to_array, to_tensor


@given(st.binary(max_size=300) | st.integers(1, 40_000).map(bytes), st.text(max_size=5))
def test_bytes_behind_a_message_are_its_field(chunk: bytes, name: str) -> None:
    parts = field(pb.PredictTilesRequest.CHUNK_FIELD_NUMBER, chunk[:7], memoryview(chunk)[7:])
    assert pb.PredictTilesRequest.FromString(b"".join(parts)) == pb.PredictTilesRequest(chunk=chunk)

    head = pb.PredictRequest(model_name=name).SerializeToString()
    image = field(pb.PredictRequest.IMAGE_FIELD_NUMBER, *field(1, chunk))
    wanted = pb.PredictRequest(model_name=name, image=pb.Image(encoded=chunk))
    assert pb.PredictRequest.FromString(b"".join((head, *image))) == wanted


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", ">f4", ">u2"])
@pytest.mark.parametrize("shape", [(1,), (3, 5), (2, 3, 70), (1, 1, 1, 1)])
def test_the_parts_of_a_tensor_are_the_tensor(dtype: str, shape: tuple[int, ...]) -> None:
    values = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    for array in (values, values[..., ::-1], np.asfortranarray(values)):
        made = pb.Tensor.FromString(b"".join(tensor_parts(array)))
        assert made == to_tensor(array)
        np.testing.assert_array_equal(to_array(made), array)


def test_elements_that_are_as_they_travel_are_not_copied() -> None:
    values = np.zeros((4, 4), np.float32)
    *_, elements = tensor_parts(values)
    assert isinstance(elements, memoryview)
    assert np.shares_memory(np.frombuffer(elements, np.uint8), values)
