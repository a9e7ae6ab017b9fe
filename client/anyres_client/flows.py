"""What a client does, without doing it: generators that yield calls and are sent their responses.

    flow = predict(...)            one flow serves both clients:
    call = next(flow)              a client performs the call, blocking or awaiting,
    call = flow.send(response)     and hands back what came,
    StopIteration.value            until the flow returns its result

So the blocking and the asyncio client differ only in how they perform a call.
"""

from __future__ import annotations

from collections.abc import Generator, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from anyres_client import codec
from anyres_client.answers import Estimate, ModelSummary, Size
from anyres_client.errors import InvalidRequest, ModelNotFound
from anyres_client.picture import Picture
from anyres_client.prediction import Prediction
from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb
from anyres_proto.card import Card


@dataclass(frozen=True)
class Call:
    """One RPC of `DensePredictionService`: its name and request."""

    method: str
    request: Any


T = TypeVar("T")
Flow: TypeAlias = Generator[Call, Any, T]
Cards: TypeAlias = MutableMapping[tuple[str, str], Card]  # (name, version): asked for once


@dataclass(frozen=True)
class Ask:
    """What is asked about one picture."""

    picture: Picture
    model: str | None = None
    version: str = ""
    output: str | Sequence[str] = "classes"
    top_k: int = 5


def predict(ask: Ask, cards: Cards) -> Flow[Prediction]:
    """One prediction, with the card of the model that made it."""
    model = ask.model or (yield from _only_model())
    request = codec.predict_request(ask.picture, model, ask.version, ask.output, ask.top_k)
    response: pb.PredictResponse = yield Call("Predict", request)
    key = (response.model_name, response.model_version)
    if key not in cards:
        cards[key] = yield from card(*key)
    return codec.prediction(response, cards[key])


def _only_model() -> Flow[str]:
    ready = [model.name for model in (yield from models()) if model.ready]
    if not ready:
        raise ModelNotFound("the server has no model that is ready")
    if len(ready) > 1:
        raise InvalidRequest(f"name the model: the server has {', '.join(ready)}")
    return ready[0]


def models() -> Flow[tuple[ModelSummary, ...]]:
    """The server's models, those that failed to load included."""
    return codec.summaries((yield Call("ListModels", pb.ListModelsRequest())))


def card(name: str, version: str = "") -> Flow[Card]:
    """One model's card."""
    response = yield Call("GetModel", pb.GetModelRequest(name=name, version=version))
    return Card.model_validate_json(response.card_json)


def estimate(model: str, size: Size, version: str = "") -> Flow[Estimate]:
    """What an image of this size, (height, width), would cost."""
    request = pb.EstimateCostRequest(
        model_name=model,
        model_version=version,
        image_size=pb.Size(height=size[0], width=size[1]),
    )
    return codec.estimate((yield Call("EstimateCost", request)))
