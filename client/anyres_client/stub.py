"""The server's calls, on a blocking channel or an asyncio one."""

from __future__ import annotations

from typing import Any

from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb
from anyres_proto.anyres.v1 import dense_prediction_pb2_grpc as pb_grpc

PREDICT = "/anyres.v1.DensePredictionService/Predict"


def stub(channel: Any) -> Any:
    """As it is generated, but that `Predict` is given its request as it travels: `codec` puts it
    together so that the picture is copied once, which protobuf does four times.
    """
    made: Any = pb_grpc.DensePredictionServiceStub(channel)
    read = pb.PredictResponse.FromString
    made.Predict = channel.unary_unary(PREDICT, response_deserializer=read)
    return made
