"""Where the pieces of one image belong: each is reduced, and its core finds its place on the grid.

Pieces come in any order and from several threads; their cores never overlap.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from anyres_analyzer.tiling.plan import Tile, cut
from anyres_server.errors import InferenceFailed
from anyres_server.model import Array, Floats, Model, OutputKind, Size
from anyres_server.reduce import Reduction


@dataclass(frozen=True, eq=False)
class Placed:
    """The results of one piece, and the rows and columns of the grid that they are for."""

    rows: slice
    columns: slice
    maps: Mapping[OutputKind, Array]

    @property
    def size(self) -> Size:
        """How many rows and columns that is."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start


class Mosaic:
    """Knows the place of every piece of one image."""

    def __init__(self, model: Model, size: Size, reduction: Reduction) -> None:
        self._model = model
        self._size = size
        self._reduction = reduction
        self.grid = model.grid(size)

    def placed(self, tile: Tile, output: Floats) -> Placed:
        """Reduce what the network says about a piece, (1, channels, h, w), to its core.

        Raises:
            InferenceFailed: the output's shape is not the predicted one.
        """
        expected = self._model.cost(tile.size).output_shape
        if output.shape != expected:
            raise InferenceFailed(
                f"model {self._model.name!r} gave an output of {output.shape}, not {expected}"
            )
        height, width = self._model.card.output.stride
        rows = cut(tile.rows, height, self._size[0], self.grid[0])
        columns = cut(tile.columns, width, self._size[1], self.grid[1])
        plane = output[0] if output.ndim == 4 else output[0][:, None, None]
        maps = self._reduction.reduce(plane[:, rows.part, columns.part])
        return Placed(rows.whole, columns.whole, maps)


class Canvas:
    """The results of one image, pasted together."""

    def __init__(self, grid: Size, reduction: Reduction) -> None:
        self._reduction = reduction
        self._maps = reduction.empty(grid)

    def paste(self, piece: Placed) -> None:
        """Keep the results of a piece."""
        for kind, part in piece.maps.items():
            self._maps[kind][..., piece.rows, piece.columns] = part

    def finish(self) -> dict[OutputKind, Array]:
        """What was asked for, once every piece was pasted."""
        return self._reduction.finish(self._maps)
