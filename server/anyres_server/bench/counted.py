"""What a server has counted of a model's requests by the Open Inference Protocol.

Its answers say nothing of where their time went, but its statistics do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import grpc

from anyres_proto.inference import grpc_service_pb2 as oip
from anyres_proto.inference.grpc_service_pb2_grpc import GRPCInferenceServiceStub
from anyres_server.bench.messages import Told

PATIENCE_S = 10.0


@dataclass(frozen=True)
class Counted:
    """Requests so far, and seconds of all of them together."""

    requests: int
    decode_s: float
    queue_s: float
    compute_s: float
    reduce_s: float

    def since(self, before: Self) -> Told | None:
        """The mean of those that came after; None where none did."""
        count = self.requests - before.requests
        if not count:
            return None
        return Told(
            (self.decode_s - before.decode_s) / count,
            (self.queue_s - before.queue_s) / count,
            (self.compute_s - before.compute_s) / count,
            (self.reduce_s - before.reduce_s) / count,
        )


def counted(address: str, model: str) -> Counted:
    """Ask for the statistics of a model; nothing where the server keeps none."""
    with grpc.insecure_channel(address) as channel:
        stub: Any = GRPCInferenceServiceStub(channel)
        try:
            answer = stub.ModelStatistics(
                oip.ModelStatisticsRequest(name=model), timeout=PATIENCE_S
            )
        except grpc.RpcError:
            return Counted(0, 0.0, 0.0, 0.0, 0.0)  # another server, which keeps none
    each = [version.inference_stats for version in answer.model_stats]
    return Counted(
        sum(stats.success.count for stats in each),
        1e-9 * sum(stats.compute_input.ns for stats in each),
        1e-9 * sum(stats.queue.ns for stats in each),
        1e-9 * sum(stats.compute_infer.ns for stats in each),
        1e-9 * sum(stats.compute_output.ns for stats in each),
    )
