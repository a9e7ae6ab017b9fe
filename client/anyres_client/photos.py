"""A handful of photos through one model, as the command line has it.

A photo that is refused is said on stderr, and the others go on; a server or a model that is not
there ends it all. `-` is standard input, and standard output to save to.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from anyres_client.client import Client
from anyres_client.errors import DeadlineExceeded, InvalidRequest, Overloaded, ServerFailed
from anyres_client.jobs import sources
from anyres_client.picture import Picture
from anyres_client.prediction import Prediction
from anyres_client.printable import printable
from anyres_client.saving import check_suffix

Told: TypeAlias = Callable[[float | None], None]

OF_ONE_PHOTO = (InvalidRequest, Overloaded, DeadlineExceeded, ServerFailed)  # others end it all
STANDARD = Path("-")  # input among the photos, output to save to


@dataclass(frozen=True)
class Order:
    """What is to be predicted, and where it goes.

    Attributes:
        photos: files, and "-" for standard input.
        model: which is asked; the only one, if left out.
        outputs: what is asked about them.
        top_k: classes a cell, for `top_k`.
        save: a file, a folder, or "-" for standard output; nothing is saved where it is left out.
        format: what is written, as a file's suffix without its dot; if left out, as `save` says,
            and PNG in folders and to standard output.
        overlay: save the prediction drawn on its photo.
    """

    photos: Sequence[Path]
    model: str | None
    outputs: tuple[str, ...] = ("classes",)
    top_k: int = 5
    save: Path | None = None
    format: str | None = None
    overlay: bool = False

    @property
    def into_folder(self) -> bool:
        """Whether `save` is a folder, there already or not."""
        if self.save is None or self.save == STANDARD:
            return False
        return self.save.is_dir() or not self.save.suffix

    @property
    def suffix(self) -> str:
        """Of what is written, where `save` does not say it."""
        return f".{self.format or 'png'}"


def named(photos: Iterable[Path]) -> Iterator[Path]:
    """The photos, and those in folders among them, in order.

    Raises:
        InvalidRequest: a folder cannot be read, or has no image.
    """
    for photo in photos:
        if not photo.is_dir():
            yield photo
            continue
        within = [photo / found.name for found in sources.within(photo)]
        if not within:
            raise InvalidRequest(f"there is no image in {photo}")
        yield from within


def predict_each(
    order: Order, client: Client, told: Told = lambda megapixels: None
) -> tuple[list[tuple[Path, Prediction]], int]:
    """The predictions, and how many photos were refused.

    Args:
        order: what is to be done.
        client: of the server.
        told: is called with each photo's megapixels, or None where it was refused.

    Raises:
        ClientError: the order makes no sense, or the server or the model is not there.
    """
    _check(order)
    client.check_outputs(order.outputs, order.model)
    outputs = (*order.outputs, "overlay") if order.overlay else order.outputs
    done, failed = [], 0
    for photo in order.photos:
        try:
            picture = _picture(photo)
            prediction = client.predict(
                picture, model=order.model, output=outputs, top_k=order.top_k
            )
            _save(order, photo, picture, prediction)
        except OF_ONE_PHOTO as error:
            failed += 1
            told(None)
            said = " ".join(str(error).split())
            sys.stderr.write(f"anyres predict: {printable(str(photo))}: {printable(said)}\n")
        else:
            height, width = prediction.image_size
            told(height * width / 1e6)
            done.append((photo, prediction))
    return done, failed


def saved(order: Order) -> list[Path]:
    """Where the results are that were saved as files."""
    if order.save is None or order.save == STANDARD:
        return []
    return [_target(order, photo) for photo in order.photos]


def _picture(photo: Path) -> Picture:
    """What is asked about; a pipe in a folder would be waited for, for ever."""
    if photo == STANDARD:
        return sys.stdin.buffer.read()
    if photo.is_fifo():
        raise InvalidRequest("it is no regular file; - reads from standard input")
    return photo


def _target(order: Order, photo: Path) -> Path:
    assert order.save is not None
    if not order.into_folder:
        return order.save
    name = "stdin" if photo == STANDARD else photo.name
    return order.save / f"{name}.{'overlay' if order.overlay else 'classes'}{order.suffix}"


def _save(order: Order, photo: Path, picture: Picture, prediction: Prediction) -> None:
    if order.save is None:
        return
    on = picture if order.overlay else None
    if order.save == STANDARD:
        sys.stdout.buffer.write(prediction.encoded(order.suffix, overlay_on=on))
        sys.stdout.buffer.flush()
        return
    target = _target(order, photo)
    try:
        if order.into_folder:
            target.parent.mkdir(parents=True, exist_ok=True)
        prediction.save(target, overlay_on=on)
    except OSError as error:
        raise InvalidRequest(f"cannot write {target}: {error.strerror or error}") from error


def _check(order: Order) -> None:
    if order.overlay and order.save is None:
        raise InvalidRequest("--overlay needs --save with a file or a folder to write to")
    if order.format and (order.save is None or (order.save.suffix and not order.into_folder)):
        raise InvalidRequest("--format needs --save with a folder, or with - for standard output")
    if order.save is not None:
        to_file = order.save != STANDARD and not order.into_folder
        check_suffix(order.save.suffix if to_file else order.suffix, drawn=order.overlay)
    if list(order.photos).count(STANDARD) > 1:
        raise InvalidRequest("standard input is read once: - stands twice among the photos")
    if order.save is None or len(order.photos) == 1:
        return
    if not order.into_folder:
        what = "standard output takes one" if order.save == STANDARD else f"{order.save} is a file"
        raise InvalidRequest(f"several photos need a folder to be saved in; {what}")
    names = [photo.name for photo in order.photos]
    if twice := {name for name in names if names.count(name) > 1}:
        raise InvalidRequest(f"two photos are called {min(twice)}: save them in two runs")
