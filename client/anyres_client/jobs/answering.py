"""One image of a job, answered: read, predicted, drawn, scored. Nothing is kept yet.

An answer is plain data, so that it may come from another process or machine.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, TypeAlias

from anyres_client.async_client import AsyncClient
from anyres_client.errors import ClientError, InvalidRequest
from anyres_client.jobs.items import Found, Item, Unusable
from anyres_client.jobs.job import Job
from anyres_client.jobs.journal import Line
from anyres_client.jobs.patience import Patience
from anyres_client.jobs.scores import Label, counts, label
from anyres_client.jobs.sinks import Files
from anyres_client.prediction import Prediction


@dataclass(frozen=True)
class Answer:
    """What is to be kept of an image."""

    file: str
    line: Line
    files: Files
    megapixels: float


@dataclass(frozen=True)
class Failure:
    """An image without an answer, and why."""

    file: str
    error: ClientError


Answered: TypeAlias = Answer | Failure


@dataclass(frozen=True)
class Question:
    """What a job asks of every image, and of which version."""

    job: Job
    version: str

    async def ask(self, each: Found, client: AsyncClient, patience: Patience) -> Answered:
        """An image's answer; or its failure, whatever it means for the others."""
        if isinstance(each, Unusable):
            return Failure(each.name, InvalidRequest(each.reason))
        try:
            encoded, true = await asyncio.to_thread(self._read, each)
            prediction = await patience.ask(
                lambda: client.predict(
                    encoded, model=self.job.model, version=self.version, output=self._outputs
                )
            )
            return await asyncio.to_thread(self._answer, each, encoded, true, prediction)
        except ClientError as error:
            return Failure(each.name, error)

    @property
    def _outputs(self) -> tuple[str, ...]:
        return ("classes", "overlay") if self.job.overlay else ("classes",)

    def _read(self, item: Item) -> tuple[bytes, Label | None]:
        """An image and its label, without which nobody need be asked."""
        labels = self.job.labels
        return item.read(), None if labels is None else label(labels, item.name)

    def _answer(
        self, item: Item, encoded: bytes, true: Label | None, prediction: Prediction
    ) -> Answer:
        line: dict[str, Any] = {"file": item.name, "stamp": item.stamp}
        line |= prediction.summary(shares=10)
        if true is not None:
            line["counts"] = counts(true, prediction.to_image_size())
        files = {"classes.png": prediction.encoded(".png")}
        if self.job.overlay:
            files["overlay.jpg"] = prediction.encoded(".jpg", overlay_on=encoded)
        height, width = prediction.image_size
        return Answer(item.name, line, files, megapixels=height * width / 1e6)
