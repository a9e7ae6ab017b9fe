"""Requests as they travel, put together so that their picture is copied once."""

from __future__ import annotations

from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb
from anyres_proto.packing import Part, field
from anyres_proto.tensors import Array, tensor_parts


def with_image(rest: pb.PredictRequest, image: bytes | Array) -> bytes:
    """A request, serialized, with a file's bytes or an array as its image.

    Args:
        rest: all of it but the image.
        image: an encoded file, or what `tensor_parts` takes.
    """
    content = field(pb.PredictRequest.IMAGE_FIELD_NUMBER, *_source(image))
    return b"".join((rest.SerializeToString(), *content))


def _source(image: bytes | Array) -> tuple[Part, ...]:
    if isinstance(image, bytes):
        return field(pb.Image.ENCODED_FIELD_NUMBER, image)
    return field(pb.Image.TENSOR_FIELD_NUMBER, *tensor_parts(image))
