"""Where the pieces of one image come together again: each is reduced, and its core is kept.

Pieces come in any order and from several threads; their cores never overlap.
"""

from __future__ import annotations

from anyres_analyzer.tile_plan import Tile, cut
from anyres_server.errors import InferenceFailed
from anyres_server.model import Array, Floats, Model, OutputKind, Size
from anyres_server.reduce import Reduction


class Canvas:
    """The results of one image, pasted together from its pieces."""

    def __init__(self, model: Model, size: Size, reduction: Reduction) -> None:
        self._model = model
        self._size = size
        self._reduction = reduction
        self._grid = model.grid(size)
        self._maps = reduction.empty(self._grid)

    def add(self, tile: Tile, output: Floats) -> None:
        """Reduce what the network says about a piece, (1, channels, h, w), and keep its core.

        Raises:
            InferenceFailed: the output's shape is not the predicted one.
        """
        expected = self._model.cost(tile.size).output_shape
        if output.shape != expected:
            raise InferenceFailed(
                f"model {self._model.name!r} gave an output of {output.shape}, not {expected}"
            )
        height, width = self._model.card.output.stride
        rows = cut(tile.rows, height, self._size[0], self._grid[0])
        columns = cut(tile.columns, width, self._size[1], self._grid[1])
        plane = output[0] if output.ndim == 4 else output[0][:, None, None]
        parts = self._reduction.reduce(plane[:, rows.part, columns.part])
        for kind, part in parts.items():
            self._maps[kind][..., rows.whole, columns.whole] = part

    def finish(self) -> dict[OutputKind, Array]:
        """What was asked for, once every piece was added."""
        return self._reduction.finish(self._maps)
