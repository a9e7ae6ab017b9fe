"""A server that is sent nonsense under a memory limit: it blames the request, and stays as it was.

    python -m benchmarks.server.hostile [--examples 300] [--models out/models] [--out out/hostile]

Pillow's own test images, wounded files, and messages that hypothesis makes for every call of both
services: whole, cut, overwritten, or plain noise. What to look at: no fault, and memory at the end
as it was after the first tenth.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import grpc
import numpy as np
from benchmarks.server.calls import Method, Outcome, ask, methods
from benchmarks.server.messages import FILES, Names, messages
from benchmarks.server.pictures import collection, fetched, wounded
from benchmarks.server.process import limit_memory, resident
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console
from rich.table import Table

from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb
from anyres_proto.anyres.v1.dense_prediction_pb2_grpc import DensePredictionServiceStub
from anyres_proto.card import Card
from anyres_proto.inference import grpc_service_pb2 as oip
from anyres_proto.inference.grpc_service_pb2_grpc import GRPCInferenceServiceStub
from anyres_server.bench.served import serving

T = TypeVar("T")
MIB = 2**20
SETTINGS = {
    "ANYRES_MEMORY_BUDGET": str(256 * MIB),
    "ANYRES_LIMITS_MESSAGE_BYTES": str(64 * MIB),
    "ANYRES_LIMITS_IMAGE_PIXELS": str(2**24),
    "ANYRES_OBSERVE_LOG_LEVEL": "error",
}
MORE = 2048 * MIB  # address space beyond what the server has when it is ready
PICTURES = "/anyres.v1.DensePredictionService/Predict"


@dataclass
class Tally:
    """How calls of one kind ended, and what was wrong with that."""

    codes: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def count(self, sent: str, outcomes: Iterable[Outcome]) -> None:
        """Note how a call ended."""
        for outcome in outcomes:
            self.codes[outcome.code.name] += 1
            if fault := outcome.fault:
                self.faults.append(f"{fault}  <-  {sent}")


def drawn(strategy: st.SearchStrategy[T], count: int, seed: int | None = None) -> list[T]:
    """So many examples; the same ones for the same seed."""
    found: list[T] = []

    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=seed is None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def keep(example: T) -> None:
        found.append(example)

    if seed is not None:
        random.seed(seed)
    keep()
    return found


def assault(
    channel: grpc.Channel, method: Method, names: Names, count: int, seed: int | None = None
) -> Tally:
    """Call a method with messages that are made for it."""
    tally, one = Tally(), messages(method.request, names)
    many = st.lists(one, max_size=5) if method.streams else one.map(lambda each: [each])
    for sent in drawn(many, count, seed):
        tally.count(str(sent)[:500], ask(channel, method, sent))
    return tally


def show_pictures(channel: grpc.Channel, model: str, files: Iterable[tuple[str, bytes]]) -> Tally:
    """Ask for a prediction of each file."""
    tally = Tally()
    predict = next(each for each in methods() if each.path == PICTURES)
    for name, file in files:
        request = pb.PredictRequest(model_name=model, image=pb.Image(encoded=file))
        tally.count(name, ask(channel, predict, [request.SerializeToString()]))
    return tally


def restore(channel: grpc.Channel, model: str) -> None:
    """Load a model again: some nonsense is a good request to unload it."""
    stub: Any = GRPCInferenceServiceStub(channel)
    stub.RepositoryModelLoad(oip.RepositoryModelLoadRequest(model_name=model))


def names(channel: grpc.Channel) -> Names:
    """The models there are, what their tensors are called, and good requests for each."""
    stub: Any = DensePredictionServiceStub(channel)
    models = [each.name for each in stub.ListModels(pb.ListModelsRequest()).models if each.ready]
    cards = {
        name: Card.model_validate_json(stub.GetModel(pb.GetModelRequest(name=name)).card_json)
        for name in models
    }
    good = [message for name, card in cards.items() for message in _good(name, card)]
    tensors = {name for card in cards.values() for name in (card.input.name, card.output.name)}
    return Names([*models, *sorted(tensors)], good)


def _good(name: str, card: Card) -> Iterator[Message]:
    request = pb.PredictRequest(model_name=name, image=pb.Image(encoded=FILES[0]))
    yield request
    yield pb.PredictStreamRequest(id="1", request=request)
    yield pb.PredictTilesRequest(header=pb.PredictTilesHeader(model_name=name))
    yield pb.PredictTilesRequest(chunk=FILES[0])
    size = pb.Size(height=card.sizes.height.minimum, width=card.sizes.width.minimum)
    yield pb.EstimateCostRequest(model_name=name, image_size=size)
    side = card.sizes.height.minimum, card.sizes.width.minimum
    shape = card.input.shape(1, *side)
    values = np.zeros(shape, card.input.dtype)
    infer: Any = oip.ModelInferRequest
    datatype = "FP32" if card.input.dtype == "float32" else "UINT8"
    tensor = infer.InferInputTensor(name=card.input.name, datatype=datatype, shape=shape)
    yield infer(model_name=name, inputs=[tensor], raw_input_contents=[values.tobytes()])
    yield oip.RepositoryModelLoadRequest(model_name=name)
    yield oip.RepositoryModelUnloadRequest(model_name=name)
    yield oip.ModelStatisticsRequest(name=name)


def main() -> None:
    """Print how each kind of nonsense was answered, and what it left behind."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--examples", type=int, default=300, help="of messages, for each call")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--models", type=Path, default=Path("out/models"))
    parser.add_argument("--out", type=Path, default=Path("out/hostile"))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    files = list(collection(fetched(given.out)))
    with (
        serving(given.models, SETTINGS) as served,
        grpc.insecure_channel(served.address) as channel,
    ):
        pid = served.process.pid
        limit_memory(pid, MORE)
        table = Table("sent", "calls", "answers", "faults", "resident MiB", box=None)
        faults: list[str] = []
        for name, tally in _everything(channel, files, given.examples, given.seed):
            codes = ", ".join(f"{code} {count}" for code, count in tally.codes.most_common())
            total, held = str(tally.codes.total()), f"{resident(pid) / MIB:.0f}"
            table.add_row(name, total, codes, str(len(tally.faults)), held)
            faults += tally.faults
        Console(highlight=False, width=160).print(table)
        print(f"the server is {'up' if served.process.poll() is None else 'DEAD'}")
        print(*faults[:50], sep="\n")


def _everything(
    channel: grpc.Channel, files: list[tuple[str, bytes]], count: int, seed: int
) -> Iterator[tuple[str, Tally]]:
    known = names(channel)
    model = known.known[0]
    yield "Pillow's test images", show_pictures(channel, model, files)
    yield "wounded files", show_pictures(channel, model, numbered(drawn(wounded(), 10 * count)))
    for method in methods():
        yield method.path.rpartition(".")[2], assault(channel, method, known, count, seed)
    restore(channel, model)
    yield "Pillow's test images again", show_pictures(channel, model, files)


def numbered(files: list[bytes]) -> Iterator[tuple[str, bytes]]:
    """The files, each with a name to know it by."""
    return ((f"{number}: {file!r}"[:300], file) for number, file in enumerate(files))


if __name__ == "__main__":
    main()
