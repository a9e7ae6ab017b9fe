"""Between pictures and protobuf: requests out of what people hold, plain values out of answers.

No connection in here, so that both clients share all of it; protobuf objects stop in this file
and in `flows`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from anyres_client import picture
from anyres_client.answers import Estimate, ModelSummary, Route, Timing
from anyres_client.connection import MESSAGE_BYTES
from anyres_client.errors import InvalidRequest, ServerFailed
from anyres_client.picture import Picture
from anyres_client.prediction import Prediction
from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb
from anyres_proto.card import Card
from anyres_proto.requests import with_image
from anyres_proto.tensors import to_array

T = TypeVar("T")

IMAGE_BYTES = MESSAGE_BYTES - 2**16  # the rest of a request is names

# What `output=` takes, and the kinds on the wire that it stands for.
OUTPUTS: Mapping[str, tuple[pb.OutputKind.ValueType, ...]] = {
    "classes": (pb.OUTPUT_KIND_CLASS_MAP,),
    "confidence": (pb.OUTPUT_KIND_CONFIDENCE,),
    "top_k": (pb.OUTPUT_KIND_TOP_K_CLASSES, pb.OUTPUT_KIND_TOP_K_SCORES),
    "probabilities": (pb.OUTPUT_KIND_PROBABILITIES,),
    "probabilities_255": (pb.OUTPUT_KIND_PROBABILITIES_255,),
    "threshold_mask": (pb.OUTPUT_KIND_THRESHOLD_MASK,),
    "logits": (pb.OUTPUT_KIND_LOGITS,),
}

# What stands for the outputs that something is made of, which the card of the model at hand says.
OVERLAY = "overlay"
INSTANCES = "instances"
MADE = (OVERLAY, INSTANCES)

# What a prediction calls each kind.
KEYS: Mapping[int, str] = {
    pb.OUTPUT_KIND_CLASS_MAP: "classes",
    pb.OUTPUT_KIND_CONFIDENCE: "confidence",
    pb.OUTPUT_KIND_TOP_K_CLASSES: "top_k_classes",
    pb.OUTPUT_KIND_TOP_K_SCORES: "top_k_scores",
    pb.OUTPUT_KIND_PROBABILITIES: "probabilities",
    pb.OUTPUT_KIND_PROBABILITIES_255: "probabilities_255",
    pb.OUTPUT_KIND_THRESHOLD_MASK: "threshold_mask",
    pb.OUTPUT_KIND_LOGITS: "logits",
}

ROUTES: Mapping[int, Route] = {
    pb.ROUTE_WHOLE: "whole",
    pb.ROUTE_TILED: "tiled",
    pb.ROUTE_REFUSED: "refused",
}


def predict_request(
    source: Picture, model: str, version: str, outputs: Sequence[str], top_k: int
) -> bytes:
    """The request for one prediction, as it travels.

    Raises:
        InvalidRequest: the picture cannot be read or sent.
    """
    kinds, names = wire_outputs(outputs)
    rest = pb.PredictRequest(
        model_name=model,
        model_version=version,
        top_k=top_k,
        outputs=kinds,
        output_names=names,
    )
    return with_image(rest, _image(source))


def wire_outputs(outputs: Sequence[str]) -> tuple[list[pb.OutputKind.ValueType], list[str]]:
    """The kinds that some outputs stand for, and the names of the model's own; each once."""
    once = dict.fromkeys(outputs)
    kinds = [kind for name in once for kind in OUTPUTS.get(name, ())]
    return kinds, [name for name in once if name not in OUTPUTS]


def named(outputs: Sequence[str]) -> bool:
    """Whether one of them can only be a model's own output."""
    return any(name not in OUTPUTS and name not in MADE for name in outputs)


def check_outputs(names: Sequence[str], card: Card) -> None:
    """Refuse a name that is no output's.

    Raises:
        InvalidRequest: one is neither ours nor one of the model's.
    """
    own = [output.name for output in card.outputs]
    known = (*OUTPUTS, *MADE, *own)
    for name in names:
        if name not in known:
            raise InvalidRequest(
                f"there is no output {name!r}; there are {', '.join((*OUTPUTS, *MADE))}, and of "
                f"{card.name} itself {', '.join(own)}"
            )


def arrays(outputs: Iterable[pb.Output]) -> dict[str, NDArray[Any]]:
    """What came, by the names that a prediction has for it."""
    return {_key(output): to_array(output.tensor) for output in outputs}


def _key(output: pb.Output) -> str:
    return output.name if output.WhichOneof("what") == "name" else KEYS[output.kind]


def _image(source: Picture) -> bytes | NDArray[Any]:
    """Files travel as they are; pixels as a tensor, without loss."""
    match source:
        case bytes():
            return _fitting(source, len(source))
        case str() | PathLike():
            return _image(picture.read_file(source))
        case Image.Image():
            return _image(picture.pixels(source))
        case np.ndarray():
            array = _checked(source)
            return _fitting(array, array.nbytes)
    if callable(getattr(source, "read", None)):
        return _image(picture.read_open(source))
    raise InvalidRequest(
        "a picture is a path, bytes, an open file, a PIL image or a numpy array; "
        f"got {type(source).__name__}"
    )


def _checked(array: NDArray[Any]) -> NDArray[Any]:
    if picture.network_input(array):
        return array
    if array.ndim not in (2, 3):
        raise InvalidRequest(
            f"an array is (h, w) or (h, w, channels); got {array.dtype} {array.shape}"
        )
    return picture.eight_bits(array)


def _fitting(source: T, size: int) -> T:
    if size > IMAGE_BYTES:
        raise InvalidRequest(
            f"a picture of {size / 2**20:.0f} MiB does not fit into one request, which takes "
            f"{IMAGE_BYTES // 2**20} MiB"
        )
    return source


def card(response: pb.GetModelResponse) -> Card:
    """One model's card."""
    try:
        return Card.model_validate_json(response.card_json)
    except ValidationError as error:
        raise ServerFailed(
            f"the card of {response.name} cannot be read ({error.error_count()} fields are not as "
            "expected): are server and client of one version?"
        ) from error


def prediction(response: pb.PredictResponse, card: Card) -> Prediction:
    """The answer to one image."""
    return Prediction(
        model=response.model_name,
        version=response.model_version,
        image_size=(response.image_size.height, response.image_size.width),
        grid_size=(response.grid_size.height, response.grid_size.width),
        route=ROUTES[response.route],
        pieces=response.pieces,
        padded=(response.padded.height, response.padded.width),
        timing=_timing(response.timing),
        card=card,
        outputs=arrays(response.outputs),
    )


def _timing(timing: pb.Timing) -> Timing:
    return Timing(timing.decode_s, timing.queue_s, timing.compute_s, timing.reduce_s)


def summaries(response: pb.ListModelsResponse) -> tuple[ModelSummary, ...]:
    """The server's models."""
    return tuple(
        ModelSummary(m.name, tuple(m.versions), m.ready, m.reason, m.sizes, m.task)
        for m in response.models
    )


def estimate(response: pb.EstimateCostResponse) -> Estimate:
    """What a size would cost."""
    return Estimate(
        route=ROUTES[response.route],
        pieces=response.pieces,
        grid_size=(response.grid_size.height, response.grid_size.width),
        macs=response.macs,
        activation_bytes=response.activation_bytes,
        budget_bytes=response.budget_bytes,
        compute_s=response.compute_s if response.HasField("compute_s") else None,
        reason=response.reason,
        reserved_bytes=response.reserved_bytes,
        overhead=response.overhead,
    )
