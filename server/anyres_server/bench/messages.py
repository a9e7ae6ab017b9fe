"""Requests and answers as a client makes and reads them, in either protocol.

Plain tensors go by the Open Inference Protocol, everything else by `anyres.v1`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any, Protocol

import numpy as np

from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb
from anyres_proto.inference import grpc_service_pb2 as oip
from anyres_proto.requests import with_image
from anyres_proto.tensors import to_array, to_tensor
from anyres_server.bench.images import Images
from anyres_server.bench.work import Work
from anyres_server.dense.service import KIND_NUMBERS
from anyres_server.model import Array, Size


@dataclass(frozen=True)
class Told:
    """What an answer says about where its time went, in seconds."""

    decode_s: float
    queue_s: float
    compute_s: float
    reduce_s: float


class Messages(Protocol):
    """How one protocol carries some work."""

    method: str

    def request(self, index: int) -> bytes:
        """An image, as a message on the wire."""

    def read(self, answer: bytes) -> tuple[Array, Told | None]:
        """The values in an answer."""

    def answer(self, values: Array) -> bytes:
        """What a server would send, to be read without one."""


class Dense:
    """`anyres.v1`."""

    method = "/anyres.v1.DensePredictionService/Predict"

    def __init__(self, work: Work, images: Images) -> None:
        self._images = images
        self._model = work.card.name
        self._kinds = [KIND_NUMBERS[kind] for kind in work.reduction.kinds]

    def request(self, index: int) -> bytes:
        """An image, as a message on the wire."""
        rest = pb.PredictRequest(model_name=self._model, outputs=self._kinds)
        return with_image(rest, self._images.sent(index))

    def read(self, answer: bytes) -> tuple[Array, Told | None]:
        """The values in an answer."""
        read = pb.PredictResponse.FromString(answer)
        timing = read.timing
        told = Told(timing.decode_s, timing.queue_s, timing.compute_s, timing.reduce_s)
        return to_array(read.outputs[0].tensor), told

    def answer(self, values: Array) -> bytes:
        """What a server would send."""
        output = pb.Output(kind=self._kinds[0], tensor=to_tensor(values))
        return pb.PredictResponse(model_name=self._model, outputs=[output]).SerializeToString()


class Plain:
    """The Open Inference Protocol: the network's own tensors."""

    method = "/inference.GRPCInferenceService/ModelInfer"

    def __init__(self, work: Work, images: Images) -> None:
        self._images = images
        self._model = work.card.name
        self._input = work.card.input.name
        self._outputs = [output.name for output in work.reduction.outputs]

    def request(self, index: int) -> bytes:
        """An image, as a message on the wire."""
        values = self._images.input(index)
        request: Any = oip.ModelInferRequest
        return bytes(
            request(
                model_name=self._model,
                inputs=[
                    request.InferInputTensor(name=self._input, datatype="FP32", shape=values.shape)
                ],
                outputs=[request.InferRequestedOutputTensor(name=name) for name in self._outputs],
                raw_input_contents=[values.tobytes()],
            ).SerializeToString()
        )

    def read(self, answer: bytes) -> tuple[Array, Told | None]:
        """The values in an answer."""
        read = oip.ModelInferResponse.FromString(answer)
        values = np.frombuffer(read.raw_output_contents[0], "<f4")
        return values.reshape(tuple(read.outputs[0].shape)), None

    def answer(self, values: Array) -> bytes:
        """What a server would send."""
        answer: Any = oip.ModelInferResponse
        output = answer.InferOutputTensor(
            name=self._outputs[0], datatype="FP32", shape=values.shape
        )
        return bytes(
            answer(
                model_name=self._model, outputs=[output], raw_output_contents=[values.tobytes()]
            ).SerializeToString()
        )


def messages(work: Work, images: Images) -> Messages:
    """The protocol that carries this work."""
    return Plain(work, images) if work.plain else Dense(work, images)


class Rehearsal:
    """Answers to be read where no server sends any, one a size, made before the clock starts.

    They are kept up to `LIMIT`; what is larger than the rest of it is read in pieces as large as
    the largest that is kept, so that reading costs the same, or a little less.
    """

    LIMIT = 256 * 2**20

    def __init__(self, messages: Messages, work: Work) -> None:
        self._messages = messages
        self._kept: dict[int, bytes] = {}
        self._sizes = [_result(work, grid).nbytes for grid in work.grids]
        left = self.LIMIT
        for grid in sorted(set(work.grids), key=prod):
            values = _result(work, grid)
            left -= values.nbytes
            if left >= 0 or not self._kept:
                self._kept[values.nbytes] = messages.answer(values)

    def read(self, index: int) -> None:
        """Read the answer to a request as if it had just come."""
        needed = self._sizes[index]
        if needed in self._kept:
            self._messages.read(self._kept[needed])
            return
        largest = max(self._kept)
        for _ in range(needed // largest):
            self._messages.read(self._kept[largest])


def _result(work: Work, grid: Size) -> Array:
    """Room for one answer's values."""
    (values,) = work.reduction.empty(grid).values()
    return values[None] if work.plain else values
