"""The result of a picture larger than memory as an .npy file, written tile by tile.

Rows go to their places in the file as tiles come, so that no more than one tile is held; readers
open it as `np.load(path, mmap_mode="r")`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from anyres_client.atomic import replacing
from anyres_client.codec import MADE, OUTPUTS
from anyres_client.errors import InvalidRequest, ServerFailed
from anyres_client.tiles import Plan, ResultTile, Tiles

Told = Callable[[int, int], None]  # cells that are there, cells there will be


def check_target(path: Path, output: str) -> None:
    """Refuse, before anything is sent, what an .npy file cannot hold.

    Raises:
        InvalidRequest: the output is no single array, or the file has another suffix.
    """
    if output in MADE or len(OUTPUTS.get(output, (output,))) != 1:
        raise InvalidRequest(f"a huge picture's result is one array; {output} is not: ask for one")
    if path.suffix.lower() != ".npy":
        raise InvalidRequest(f"a huge picture's result is saved as .npy; got {path.name}")


def write_tiles(tiles: Tiles, path: Path, told: Told) -> Plan:
    """Write what comes to `path`, which is there whole or not at all.

    The array has the grid's size, (..., height, width), behind whatever axis the output has.

    Raises:
        ClientError: see `anyres_client.errors`; InvalidRequest where `path` cannot be written.
    """
    plan = tiles.plan
    try:
        with replacing(path) as file:
            _write(tiles, plan, file, told)
    except OSError as error:
        raise InvalidRequest(f"cannot write {path}: {error.strerror or error}") from error
    return plan


def _write(tiles: Tiles, plan: Plan, file: IO[bytes], told: Told) -> None:
    shape: Sequence[int] = ()
    start = there = 0
    cells = prod(plan.grid_size)
    for tile in tiles:
        (values,) = tile.outputs.values()
        if not shape:
            shape = (*values.shape[:-2], *plan.grid_size)
            start = _begin(file, values.dtype, shape)
        _place(file, start, shape, tile, values)
        there += prod(values.shape[-2:])
        told(there, cells)
    if there != cells:
        raise ServerFailed(f"{there} of {cells} cells came: the answer ended too early")


def _begin(file: IO[bytes], dtype: np.dtype[Any], shape: Sequence[int]) -> int:
    """Where the values begin."""
    header = {
        "descr": np.lib.format.dtype_to_descr(dtype),
        "fortran_order": False,
        "shape": tuple(shape),
    }
    np.lib.format.write_array_header_2_0(file, header)
    return file.tell()


def _place(
    file: IO[bytes], start: int, shape: Sequence[int], tile: ResultTile, values: NDArray[Any]
) -> None:
    """Each row of each plane goes to its place."""
    *_, height, width = shape
    for plane, rows in enumerate(values.reshape(-1, *values.shape[-2:])):
        for row, line in enumerate(rows, tile.rows.start):
            cell = (plane * height + row) * width + tile.columns.start
            file.seek(start + cell * values.itemsize)
            file.write(line.tobytes())
