"""What a client does, without doing it: generators that yield calls and are sent their responses.

    flow = predict(...)                 one flow serves both clients:
    call = advance(flow)                a client performs the call, blocking or awaiting,
    step = advance(flow, response)      and hands back what came,
    step.value                          until the step is what the flow returned

So the blocking and the asyncio client differ only in how they perform a call.
"""

from __future__ import annotations

from collections.abc import Generator, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from anyres_client import codec, objects, overlay
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


@dataclass(frozen=True)
class Returned(Generic[T]):
    """What a flow has come to."""

    value: T


def advance(flow: Flow[T], response: object = None) -> Call | Returned[T]:
    """Hand a flow the response to its call; the next call, or what it returned."""
    try:
        return flow.send(response)
    except StopIteration as done:
        return Returned(done.value)


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
    outputs, top_k = yield from _outputs(ask, model, cards)
    request = codec.predict_request(ask.picture, model, ask.version, outputs, top_k)
    response: pb.PredictResponse = yield Call("Predict", request)
    known = yield from _known(response.model_name, response.model_version, cards)
    return codec.prediction(response, known)


def _outputs(ask: Ask, model: str, cards: Cards) -> Flow[tuple[list[str], int]]:
    """The outputs' names, where "overlay" and "instances" stand for what those are made of."""
    names = [ask.output] if isinstance(ask.output, str) else list(ask.output)
    if all(name in codec.OUTPUTS for name in names):
        return names, ask.top_k
    known = yield from _known(model, ask.version, cards)
    codec.check_outputs(names, known)
    asked, top_k = [name for name in names if name not in codec.MADE], ask.top_k
    if codec.OVERLAY in names:
        drawn, most = overlay.needs(known)
        top_k = top_k if "top_k" in asked else most
        asked += drawn
    return [*asked, *(objects.needs(known) if codec.INSTANCES in names else ())], top_k


def checked(names: Sequence[str], model: str, version: str, cards: Cards) -> Flow[None]:
    """Nothing, where these are outputs; a card is asked for only where it has to say so."""
    if codec.named(names):
        codec.check_outputs(names, (yield from _known(model, version, cards)))


def checked_of_any(names: Sequence[str], model: str | None) -> Flow[None]:
    """The same, of the only model where none is named."""
    if codec.named(names):
        yield from checked(names, model or (yield from _only_model()), "", {})


def _known(name: str, version: str, cards: Cards) -> Flow[Card]:
    """A card, asked for once; the newest version's every time, since that may change."""
    if (name, version) in cards:
        return cards[name, version]
    answer = yield from card(name, version)
    if version:
        cards[name, version] = answer
    return answer


def _only_model() -> Flow[str]:
    every = yield from models()
    ready = [model.name for model in every if model.ready]
    if not ready:
        why = "; ".join(f"{model.name}: {model.reason}" for model in every) or "it has none"
        raise ModelNotFound(f"the server has no model that is ready ({why})")
    if len(ready) > 1:
        raise InvalidRequest(f"name the model: the server has {', '.join(ready)}")
    return ready[0]


def models() -> Flow[tuple[ModelSummary, ...]]:
    """The server's models, those that failed to load included."""
    return codec.summaries((yield Call("ListModels", pb.ListModelsRequest())))


def card(name: str, version: str = "") -> Flow[Card]:
    """One model's card."""
    response = yield Call("GetModel", pb.GetModelRequest(name=name, version=version))
    return codec.card(response)


def estimate(model: str, size: Size, version: str = "") -> Flow[Estimate]:
    """What an image of this size, (height, width), would cost."""
    request = pb.EstimateCostRequest(
        model_name=model,
        model_version=version,
        image_size=pb.Size(height=size[0], width=size[1]),
    )
    return codec.estimate((yield Call("EstimateCost", request)))
