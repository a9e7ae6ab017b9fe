"""What the page's drawings are made of: the canvas in input pixels, and each output's geometry."""

from __future__ import annotations

from dataclasses import dataclass

from anyres_analyzer.analysis import Analysis
from anyres_analyzer.graph.layout import Layout
from anyres_analyzer.report.facts import AxisField, AxisTiling, Output, Report, Size
from anyres_analyzer.report.page.photo import Photo
from anyres_analyzer.sizes.contract import AxisContract, SizeContract
from anyres_analyzer.tiling.plan import AxisRule

SMALLEST_CANVAS = 256  # pixels
LARGEST_CANVAS = 4096
CORES = 24  # tiles to choose from


@dataclass(frozen=True)
class Sight:
    """One axis of a receptive field; what a script draws needs no fractions."""

    stride: float
    offset: float
    phases: tuple[tuple[int, int], ...]
    repeats: int


@dataclass(frozen=True)
class Tile:
    """A tile inside an image: its core, what lies before the core, and all of it."""

    core: Size
    lead: Size
    source: Size


@dataclass(frozen=True)
class Scene:
    """One output on the canvas: `grid` is its (columns, rows), `sight` that of width and height."""

    name: str
    grid: Size | None
    sight: tuple[Sight, Sight] | None
    alignment: Size | None
    tiles: tuple[Tile, ...]

    @property
    def several(self) -> bool:
        """Whether its pixels see differently much."""
        axes = self.sight or ()
        return any(len({last - first for first, last in axis.phases}) > 1 for axis in axes)


@dataclass(frozen=True)
class Drawing:
    """The canvas, (width, height) in input pixels, and all outputs on it."""

    size: Size
    scenes: tuple[Scene, ...]


def drawing(report: Report, analysis: Analysis, photo: Photo | None) -> Drawing:
    """The geometry of every output, on the photograph or on a test card of its own size."""
    size = photo.size if photo else _canvas(report, analysis.sizes)
    tensors = analysis.shapes.at(size[1], size[0])
    return Drawing(
        size,
        tuple(
            _scene(output, tensors[output.name].shape, analysis.sizes) for output in report.outputs
        ),
    )


def _canvas(report: Report, sizes: SizeContract) -> Size:
    """Room for twice the widest receptive field, as far as that can be drawn."""
    fields = [f for output in report.outputs for f in (output.field_width, output.field_height)]
    wanted = 2 * max((field.size for field in fields if field), default=0)
    side = min(max(wanted, SMALLEST_CANVAS), LARGEST_CANVAS)
    return sizes.width.at_least(side), sizes.height.at_least(side)


def _scene(output: Output, shape: tuple[int, ...], sizes: SizeContract) -> Scene:
    width, height = output.field_width, output.field_height
    across, down = output.tiling_width, output.tiling_height
    rules = (_rule(across, sizes.width), _rule(down, sizes.height)) if across and down else None
    return Scene(
        name=output.name,
        grid=Layout(output.layout).grid(shape)[::-1] if output.dense else None,
        sight=(_sight(width), _sight(height)) if output.dense and width and height else None,
        alignment=(rules[0].alignment, rules[1].alignment) if rules else None,
        tiles=_tiles(rules) if rules else (),
    )


def _sight(field: AxisField) -> Sight:
    return Sight(float(field.stride), float(field.offset), field.phases, field.repeats)


def _rule(tiling: AxisTiling, axis: AxisContract) -> AxisRule:
    return AxisRule(
        tiling.alignment, tiling.halo_before, tiling.halo_after, axis.minimum, axis.step
    )


def _tiles(rules: tuple[AxisRule, AxisRule]) -> tuple[Tile, ...]:
    """From the shortest core on, in about equal ratios, until the halo hardly counts."""
    shortest = max(rule.alignment for rule in rules)
    halo = max(rule.halo_before + rule.halo_after for rule in rules)
    longest = max(LARGEST_CANVAS, 8 * halo, 4 * shortest)
    ratio = (longest / shortest) ** (1 / (CORES - 1))
    sides = (shortest * ratio**step for step in range(CORES))
    cores = dict.fromkeys(tuple(_core(rule, side) for rule in rules) for side in sides)
    return tuple(_tile(rules, (width, height)) for width, height in cores)


def _core(rule: AxisRule, side: float) -> int:
    return max(1, round(side / rule.alignment)) * rule.alignment


def _tile(rules: tuple[AxisRule, AxisRule], core: Size) -> Tile:
    lengths = [
        rule.length(rule.lead + side + rule.halo_after)
        for rule, side in zip(rules, core, strict=True)
    ]
    return Tile(core, (rules[0].lead, rules[1].lead), (lengths[0], lengths[1]))
