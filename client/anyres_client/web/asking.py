"""A picture and a model become an answer; whatever goes wrong, a sentence for a person."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from PIL import Image

from anyres_client import picture, saving
from anyres_client.answers import Estimate
from anyres_client.client import Client
from anyres_client.overlay import shows_classes
from anyres_client.prediction import Prediction
from anyres_proto.card import Card


@dataclass(frozen=True, eq=False)
class Answer:
    """What came of one picture, and what it took."""

    prediction: Prediction
    photo: Image.Image = field(repr=False)  # upright, RGB
    sent_bytes: int
    seconds: float  # from sending it until the answer was here
    estimate: Estimate  # made before, of an image of this size

    def mask(self) -> bytes:
        """The class map at the image's own size, as a PNG file."""
        return saving.png(self.prediction.to_image_size(), self.prediction.palette)


def answer(client: Client, path: str, model: str) -> Answer:
    """What the server says of the picture in a file, and what it had said that would cost.

    Raises:
        ClientError: a sentence.
    """
    encoded = picture.read_file(path)
    photo = picture.upright(encoded)
    card = client.model(model)
    estimate = client.estimate(model, (photo.height, photo.width))
    began = time.monotonic()
    prediction = client.predict(encoded, model=model, output=outputs(card))
    seconds = time.monotonic() - began
    return Answer(prediction, photo, len(encoded), seconds, estimate)


def outputs(card: Card) -> list[str]:
    """What to ask a model for: what it is sure of only where its graph keeps scores."""
    if card.scores is None:
        return ["classes"]
    return ["classes", "confidence", *([] if shows_classes(card.task) else ["overlay"])]


def ready_models(client: Client) -> list[str]:
    """The models that answer.

    Raises:
        ClientError: a sentence.
    """
    return [model.name for model in client.models() if model.ready]
