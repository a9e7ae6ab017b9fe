"""One benchmark: a model's file in, figures out."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import grpc

from anyres_analyzer import analyze
from anyres_analyzer.errors import AnalysisError
from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb
from anyres_proto.anyres.v1.dense_prediction_pb2_grpc import DensePredictionServiceStub
from anyres_proto.card import Card
from anyres_server.bench.figures import Figures, figures
from anyres_server.bench.measure import measure
from anyres_server.bench.served import folder_of, serving
from anyres_server.bench.sizes import draw
from anyres_server.bench.work import In, Out, Work, check
from anyres_server.errors import InvalidRequest

LONGEST_LAP = 2000  # requests
PATIENCE_S = 10.0  # for a server to say what a model is


def benchmark(
    model: Path,
    sizes: str,
    given: In,
    wanted: Out,
    *,
    clients: int,
    seconds: float,
    address: str | None = None,
) -> Figures:
    """Measure a model's server, an own one where no address is given.

    Raises:
        InvalidRequest: the model cannot be read or asked that.
        StartFailed: the server did not come up.
        OtherEnded: one of the processes did not do its part.
    """
    if not model.is_file():
        raise InvalidRequest(f"there is no file {model}; expected an ONNX model")
    with ExitStack() as stack:
        server_pid = None
        if address is None:
            folder = stack.enter_context(folder_of(model))
            served = stack.enter_context(serving(folder))
            address, server_pid = served.address, served.process.pid
        work = _work(model, _card(model.stem, address), sizes, given, wanted)
        measured = measure(
            model, work, address, clients=clients, seconds=seconds, server_pid=server_pid
        )
        return figures(measured)


def _card(name: str, address: str) -> Card:
    """What the server says about the model."""
    with grpc.insecure_channel(address) as channel:
        stub = DensePredictionServiceStub(channel)
        try:
            answer = stub.GetModel(pb.GetModelRequest(name=name), timeout=PATIENCE_S)
        except grpc.RpcError as error:
            raise InvalidRequest(f"the server at {address} says: {error.details()}") from error
    return Card.model_validate_json(answer.card_json).model_copy(update={"name": name})


def _work(model: Path, card: Card, sizes: str, given: In, wanted: Out) -> Work:
    try:
        analysis = analyze(model)
    except AnalysisError as error:
        raise InvalidRequest(f"{model} cannot be analysed: {error}") from error
    check(card, given, wanted)
    drawn = draw(sizes, card.sizes, LONGEST_LAP)
    grids = {size: card.output.grid(analysis.cost(*size).output_shape) for size in set(drawn)}
    return Work(card, drawn, tuple(grids[size] for size in drawn), given, wanted)
