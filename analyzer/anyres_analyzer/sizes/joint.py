"""Height and width that are tied to each other: a product that one node checks, and nobody else.

An FC layer over a flattened map, or a table of positions over its cells, checks the product of the
map's height and width alone. So a network made for 32x32 takes 16x64 as well, without an error, and
answers nonsense. Such a constraint is found by looking for other maps of as many cells that go
through.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from anyres_analyzer.field.field import Field
from anyres_analyzer.graph.graph import Graph
from anyres_analyzer.sizes.contract import AxisContract, SizeContract
from anyres_analyzer.sizes.inverse import sizes_giving
from anyres_analyzer.sizes.trial import Trial


@dataclass(frozen=True)
class Joint:
    """The map at `node` must have `product` cells, in whatever shape.

    `map` is its (h, w) at the sizes that the contract admits, `accepted` the height and width of an
    image with another map that goes through as well.
    """

    node: str
    product: int
    map: tuple[int, int]
    accepted: tuple[int, int]


def joint_constraint(
    trial: Trial, graph: Graph, contract: SizeContract, fields: tuple[dict[str, Field], ...]
) -> Joint | None:
    """The product that ties height to width, where both are open in the file and tied in truth."""
    axes = (contract.height, contract.width)
    if not all(_tied(dim, axis) for dim, axis in zip(graph.sides, axes, strict=True)):
        return None
    height, width = contract.height.minimum, contract.width.minimum
    for node in graph.nodes:
        dims = _ends(node.inputs[0] if node.inputs else "", node.made[0], fields)
        if dims is None:
            continue
        tensor = node.inputs[0]
        cells = (
            trial.extent(tensor, dims[0], height, width),
            trial.extent(tensor, dims[1], height, width),
        )
        for size in _other_sizes(trial, tensor, dims, cells, (height, width)):
            if not contract.admits(*size) and trial.refusal(*size) is None:
                return Joint(node.label, cells[0] * cells[1], cells, size)
    return None


def _tied(declared: int | str | None, axis: AxisContract) -> bool:
    """Whether the file leaves the axis open and the graph does not."""
    return not isinstance(declared, int) and axis.maximum is not None


def _ends(source: str, made: str, fields: tuple[dict[str, Field], ...]) -> tuple[int, int] | None:
    """Where both axes are in a tensor that a node flattens, else None."""
    before = [by_tensor.get(source) for by_tensor in fields]
    after = [by_tensor.get(made) for by_tensor in fields]
    if any(f is None or f.dim is None for f in before) or any(f is None or f.dim for f in after):
        return None
    height, width = (f.dim for f in before if f is not None)
    assert height is not None, "looked at above"
    assert width is not None, "looked at above"
    return height, width


def _other_sizes(
    trial: Trial,
    tensor: str,
    dims: tuple[int, int],
    cells: tuple[int, int],
    works: tuple[int, int],
) -> Iterator[tuple[int, int]]:
    """Sizes of maps of as many cells, the most alike first."""
    total = cells[0] * cells[1]
    sides = [h for h in range(1, total + 1) if total % h == 0 and h != cells[0]]
    for h in sorted(sides, key=lambda side: abs(side - cells[0])):
        heights = sizes_giving(h, lambda n: trial.extent(tensor, dims[0], n, works[1]))
        widths = sizes_giving(total // h, lambda n: trial.extent(tensor, dims[1], works[0], n))
        if heights and widths:
            yield heights[0], widths[0]
