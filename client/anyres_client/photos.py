"""A handful of photos through one model, as the command line has it.

A photo that is refused is said on stderr, and the others go on; a server or a model that is not
there ends it all.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from anyres_client import codec
from anyres_client.client import Client
from anyres_client.errors import DeadlineExceeded, InvalidRequest, Overloaded, ServerFailed
from anyres_client.prediction import Prediction

OF_ONE_PHOTO = (InvalidRequest, Overloaded, DeadlineExceeded, ServerFailed)  # others end it all


@dataclass(frozen=True)
class Order:
    """What is to be predicted, and where it goes."""

    photos: Sequence[Path]
    model: str | None
    outputs: tuple[str, ...] = ("classes",)
    top_k: int = 5
    save: Path | None = None
    overlay: bool = False

    @property
    def into_folder(self) -> bool:
        """Whether `save` is a folder, there already or not."""
        return self.save is not None and (self.save.is_dir() or not self.save.suffix)


def predict_each(order: Order, client: Client) -> tuple[list[tuple[Path, Prediction]], int]:
    """The predictions, and how many photos were refused.

    Raises:
        ClientError: the order makes no sense, or the server or the model is not there.
    """
    _check(order)
    outputs = (*order.outputs, "overlay") if order.overlay else order.outputs
    done, failed = [], 0
    for photo in order.photos:
        try:
            prediction = client.predict(photo, model=order.model, output=outputs, top_k=order.top_k)
            _save(order, photo, prediction)
        except OF_ONE_PHOTO as error:
            failed += 1
            sys.stderr.write(f"anyres predict: {photo}: {' '.join(str(error).split())}\n")
        else:
            done.append((photo, prediction))
    return done, failed


def _save(order: Order, photo: Path, prediction: Prediction) -> None:
    if order.save is None:
        return
    target = order.save
    try:
        if order.into_folder:
            target.mkdir(parents=True, exist_ok=True)
            target = target / f"{photo.name}.{'overlay' if order.overlay else 'classes'}.png"
        prediction.save(target, overlay_on=photo if order.overlay else None)
    except OSError as error:
        raise InvalidRequest(f"cannot write {target}: {error.strerror or error}") from error


def _check(order: Order) -> None:
    codec.check_outputs(order.outputs)
    if order.overlay and order.save is None:
        raise InvalidRequest("--overlay needs --save with a file or a folder to write to")
    if order.save is None or len(order.photos) == 1:
        return
    if not order.into_folder:
        raise InvalidRequest(f"several photos need a folder to be saved in; {order.save} is a file")
    names = [photo.name for photo in order.photos]
    if twice := {name for name in names if names.count(name) > 1}:
        raise InvalidRequest(f"two photos are called {min(twice)}: save them in two runs")
