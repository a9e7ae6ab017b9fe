"""Where pictures are tried: a model, its session, and how its pictures are cut."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anyres_analyzer.tiling.plan import Tile
from anyres_exporter.errors import DoesNotRun
from anyres_exporter.evaluate.dense import INDIVISIBLE, Patch, answer, patches
from anyres_exporter.evaluate.errors import CannotEvaluate, DoesNotFit
from anyres_exporter.evaluate.route import Router
from anyres_exporter.evaluate.subject import Subject
from anyres_exporter.pictures import decoded, size_of
from anyres_exporter.runtime import Runtime


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture, decoded, and the tiles that it goes through the network in."""

    path: Path
    pixels: NDArray[np.uint8]
    tiles: tuple[Tile, ...]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.pixels.shape[0], self.pixels.shape[1]


@dataclass(frozen=True, eq=False)
class Bench:
    """Takes one picture after the other; nothing of one is kept for the next."""

    subject: Subject
    network: Runtime
    router: Router

    def picture(self, path: Path) -> Picture:
        """A picture that the network takes.

        Raises:
            BadPicture: it cannot be decoded.
            DoesNotFit: its size is none that the model takes, or takes too much memory; that is
                known before it is decoded.
        """
        with _named(path):
            tiles = self.router.tiles(size_of(path))
        return Picture(path, decoded(path, self.subject.card.input), tiles)

    def patches(self, picture: Picture) -> Iterator[Patch]:
        """The answer for each of its pixels, band by band.

        Raises:
            DoesNotFit: the network does not run on it.
        """
        with _named(picture.path):
            yield from patches(self.network, picture.pixels, self.subject.card, picture.tiles)

    def answer(self, picture: Picture) -> NDArray[Any]:
        """The answer for the whole picture: (channels,), of scores of a map their mean.

        Raises:
            DoesNotFit: the network does not run on it.
        """
        with _named(picture.path):
            found = answer(self.network, picture.pixels, self.subject.card)
        output = self.subject.card.output
        if not output.dense:
            return found.reshape(-1)
        if output.meaning in INDIVISIBLE:
            raise CannotEvaluate(
                f"'{self.subject.card.name}' gives a map of classes; to rank the classes of a "
                "whole picture, scores are needed"
            )
        return np.asarray(found.mean(axis=(0, 1) if output.layout == "NHWC" else (-2, -1)))


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Say which picture it was."""
    try:
        yield
    except (DoesNotFit, DoesNotRun) as error:
        raise DoesNotFit(f"{path}: {error}") from error
