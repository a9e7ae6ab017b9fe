"""Where the pieces of one image belong: each is reduced, and its core finds its place on the grid.

Pieces come in any order and from several threads; their cores never overlap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from anyres_analyzer.tiling.plan import Tile, cut
from anyres_server.errors import InferenceFailed
from anyres_server.model import Array, Asked, Model, Size
from anyres_server.reduction.named import check_grid, planes
from anyres_server.reduction.reduce import Reduction


@dataclass(frozen=True, eq=False)
class Placed:
    """The results of one piece, and the rows and columns of the grid that they are for."""

    rows: slice
    columns: slice
    maps: Mapping[Asked, Array]

    @property
    def size(self) -> Size:
        """How many rows and columns that is."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start


class Mosaic:
    """Knows the place of every piece of one image.

    Raises:
        InvalidRequest: an output that is asked for has another grid.
    """

    def __init__(self, model: Model, size: Size, reduction: Reduction) -> None:
        self._model = model
        self._size = size
        self._reduction = reduction
        self.grid = model.grid(size)
        self.asked = reduction.asked
        shapes = model.cost(size).output_shapes
        for output in reduction.named.values():
            check_grid(output, shapes[output.name], model.card.output, self.grid)

    def placed(self, tile: Tile, outputs: Sequence[Array]) -> Placed:
        """Reduce what the network says about a piece, the outputs asked of it, to its core.

        Raises:
            InferenceFailed: an output's shape is not the predicted one.
        """
        shapes = self._model.cost(tile.size).output_shapes
        for source, output in zip(self._reduction.outputs, outputs, strict=True):
            if output.shape != shapes[source.name]:
                raise InferenceFailed(
                    f"model {self._model.name!r} gave an output of {output.shape}, "
                    f"not {shapes[source.name]}"
                )
        height, width = self._model.card.output.stride
        rows = cut(tile.rows, height, self._size[0], self.grid[0])
        columns = cut(tile.columns, width, self._size[1], self.grid[1])
        maps = self._reduction.reduce(
            *(
                planes(output[0], source)[:, rows.part, columns.part]
                for source, output in zip(self._reduction.outputs, outputs, strict=True)
            )
        )
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

    def finish(self) -> dict[Asked, Array]:
        """What was asked for, once every piece was pasted."""
        return self._reduction.finish(self._maps)
