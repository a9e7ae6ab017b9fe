"""Huge pictures: parts of a file or of pixels go up, results come back tile by tile.

    with client.predict_tiles("scan.tif", model="climate_unet") as tiles:
        for tile in tiles:
            classes[tile.rows, tile.columns] = tile.outputs["classes"]

Neither side ever has the whole picture in memory: a part is read when the server has room for it,
and a tile is sent when this one was taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

import grpc
import numpy as np
from numpy.typing import NDArray

from anyres_client.answers import Route, Size
from anyres_client.codec import MADE, ROUTES, arrays, wire_outputs
from anyres_client.errors import InvalidRequest, ServerFailed
from anyres_client.failures import failed
from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb

PART_BYTES = 2**20


@dataclass(frozen=True, eq=False)
class Strips:
    """Rows of pixels that come one strip after the other.

    Args:
        size: (height, width) of the whole picture.
        channels: of each pixel: as many as the model's input has.
        strips: uint8 (rows, width, channels), from the top down, of any number of rows each.
    """

    size: Size
    channels: int
    strips: Iterable[NDArray[np.uint8]]


Huge: TypeAlias = str | PathLike[str] | Strips


@dataclass(frozen=True)
class Plan:
    """How the picture goes through the network.

    Args:
        model: its name.
        version: its version.
        image_size: (height, width) in pixels.
        grid_size: (height, width) of the answer, in cells.
        route: whole or tiled.
        pieces: how many tiles.
    """

    model: str
    version: str
    image_size: Size
    grid_size: Size
    route: Route
    pieces: int


@dataclass(frozen=True, eq=False)
class ResultTile:
    """What was asked for, of some rows and columns of the grid.

    Args:
        rows: of the grid; tiles touch and do not overlap.
        columns: of the grid.
        outputs: arrays (..., rows, columns) by name: classes, confidence, top_k_classes,
            top_k_scores, probabilities or logits, of the types that `Prediction` has; or one of
            the model's own outputs, (channels, rows, columns), by its name.
    """

    rows: slice
    columns: slice
    outputs: Mapping[str, NDArray[Any]]


class Tiles:
    """The results of one picture, as they come, in any order; read them in a `with` block."""

    def __init__(self, call: Any, address: str) -> None:
        self._call = call
        self._address = address

    @cached_property
    def plan(self) -> Plan:
        """How the picture goes; waits for the server to have seen its header.

        Raises:
            ClientError: see `anyres_client.errors`.
        """
        part = self._next()
        if part is None or part.WhichOneof("part") != "plan":
            raise ServerFailed(f"the answer does not begin with a plan ({self._address})")
        plan = part.plan
        return Plan(
            plan.model_name,
            plan.model_version,
            (plan.image_size.height, plan.image_size.width),
            (plan.grid_size.height, plan.grid_size.width),
            ROUTES[plan.route],
            plan.pieces,
        )

    def __iter__(self) -> Iterator[ResultTile]:
        """Each tile once.

        Raises:
            ClientError: see `anyres_client.errors`.
        """
        _ = self.plan
        while (part := self._next()) is not None:
            tile = part.tile
            yield ResultTile(
                slice(tile.top, tile.top + tile.size.height),
                slice(tile.left, tile.left + tile.size.width),
                arrays(tile.outputs),
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Whoever leaves before the end costs the server no more."""
        self._call.cancel()

    def _next(self) -> pb.PredictTilesResponse | None:
        try:
            part: pb.PredictTilesResponse | None = next(self._call, None)
        except grpc.RpcError as error:
            raise failed(error, self._address) from error
        return part


def parts(
    picture: Huge, model: str, version: str, outputs: Sequence[str], top_k: int
) -> Iterator[pb.PredictTilesRequest]:
    """What goes up, read as it goes.

    Raises:
        InvalidRequest: an output is made of whole pictures, or the file cannot be read.
    """
    for whole in MADE:
        if whole in outputs:
            raise InvalidRequest(f"{whole} is made of whole pictures; ask for classes")
    kinds, names = wire_outputs(outputs)
    header = pb.PredictTilesHeader(
        model_name=model,
        model_version=version,
        outputs=kinds,
        output_names=names,
        top_k=top_k,
    )
    if isinstance(picture, Strips):
        height, width = picture.size
        size = pb.Size(height=height, width=width)
        header.raw.CopyFrom(pb.RawStrips(size=size, channels=picture.channels))
        return _strips(header, picture.strips)
    path = Path(picture)
    try:
        header.file_bytes = path.stat().st_size
    except OSError as error:
        raise InvalidRequest(f"cannot read {path}: {error.strerror or error}") from error
    return _chunks(header, path)


def _chunks(header: pb.PredictTilesHeader, path: Path) -> Iterator[pb.PredictTilesRequest]:
    yield pb.PredictTilesRequest(header=header)
    with path.open("rb") as file:
        while chunk := file.read(PART_BYTES):
            yield pb.PredictTilesRequest(chunk=chunk)


def _strips(
    header: pb.PredictTilesHeader, strips: Iterable[NDArray[np.uint8]]
) -> Iterator[pb.PredictTilesRequest]:
    yield pb.PredictTilesRequest(header=header)
    for strip in strips:
        if strip.dtype != np.uint8:
            raise InvalidRequest(f"strips are uint8 pixels; got {strip.dtype}")
        values = np.ascontiguousarray(strip).reshape(-1)
        for start in range(0, len(values), PART_BYTES):
            yield pb.PredictTilesRequest(rows=values[start : start + PART_BYTES].tobytes())
