"""A client that streams without end, until it is killed: `python -m benchmarks.server.streamer`.

    ADDRESS MODEL WIDTHxHEIGHT

Says "answered" once the first answer has come.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import grpc
from benchmarks.server.asking import request

from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb
from anyres_proto.anyres.v1.dense_prediction_pb2_grpc import DensePredictionServiceStub


def main(address: str, model: str, size: str) -> None:
    """Stream."""
    width, height = map(int, size.split("x"))
    asked = pb.PredictRequest.FromString(request(model, height, width))

    def endless() -> Iterator[pb.PredictStreamRequest]:
        while True:
            yield pb.PredictStreamRequest(id="-", request=asked)

    with grpc.insecure_channel(address) as channel:
        for number, _ in enumerate(DensePredictionServiceStub(channel).PredictStream(endless())):
            if number == 0:
                sys.stdout.write("answered\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
