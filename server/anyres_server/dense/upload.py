"""An image's file that comes in chunks: a header first, then bytes, up to a limit."""

from __future__ import annotations

from collections.abc import AsyncIterator

from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb
from anyres_server.errors import InvalidRequest
from anyres_server.machine import mib


async def uploaded(
    parts: AsyncIterator[pb.PredictTilesRequest], limit: int
) -> tuple[pb.PredictTilesHeader, bytes]:
    """The header and the whole file.

    Raises:
        InvalidRequest: the header is missing, late or there twice, or the file is over the limit.
    """
    header: pb.PredictTilesHeader | None = None
    file = bytearray()
    async for part in parts:
        match part.WhichOneof("part"), header:
            case "header", None:
                header = part.header
            case "chunk", pb.PredictTilesHeader():
                file += part.chunk
            case what, _:
                raise InvalidRequest(
                    f"an upload is one header and then chunks; got {what or 'an empty part'} "
                    f"{'first' if header is None else 'after the header'}"
                )
        if len(file) > limit:
            raise InvalidRequest(f"the file is larger than {mib(limit)}, the limit of an upload")
    if header is None:
        raise InvalidRequest("the upload is empty; expected a header and the file in chunks")
    return header, bytes(file)
