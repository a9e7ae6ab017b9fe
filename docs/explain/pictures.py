"""Draws the pictures of `any-size.md` out of what the analyzer says of three small graphs.

    python -m docs.explain.pictures

Nothing in them is drawn by hand: maps, windows, sizes and tiles are those of `anyres analyze`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import onnx
from docs.explain.graphs import CLASSIFIER, CONVOLUTIONAL, UNET

from anyres_analyzer.analysis import Analysis, analyze
from anyres_analyzer.tiling.plan import AxisRule, AxisTile, plan_axis

FOLDER = Path(__file__).parent
INK, QUIET, LINE = "#1f2a2c", "#5b6b6e", "#cfd8d9"
TEAL, PALE = "#0b5c62", "#cfe3e4"
AMBER, FAINT = "#b4530a", "#f6dfca"
WIDTH = 720


def svg(height: int, title: str, *parts: str) -> str:
    """A picture on a ground of its own, so that it can be read on a dark page, too."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'font-family="system-ui, sans-serif" font-size="14">\n<title>{title}</title>\n'
        f'<rect width="{WIDTH}" height="{height}" rx="8" fill="#fff"/>\n' + "\n".join(parts)
    ) + "\n</svg>\n"


def text(x: float, y: float, said: str, colour: str = INK, anchor: str = "start") -> str:
    """One line."""
    return f'<text x="{x:g}" y="{y:g}" fill="{colour}" text-anchor="{anchor}">{said}</text>'


def box(x: float, y: float, w: float, h: float, fill: str, line: str = "none") -> str:
    """A rectangle."""
    return f'<rect x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" fill="{fill}" stroke="{line}"/>'


def head() -> str:
    """A layer over the flattened map, and the same numbers as a window that slides."""
    window = _map(analyze(CONVOLUTIONAL), (32, 32))
    return svg(
        252,
        "A fully connected layer is a convolution over the whole map",
        *_slide((32, 32), 24, window),
        *_slide((48, 64), 292, window),
    )


def _map(analysis: Analysis, size: tuple[int, int], name: str = "map") -> tuple[int, int]:
    """The (rows, columns) of a tensor, for an image of (height, width)."""
    rows, columns = analysis.shapes.at(*size)[name].shape[2:]
    return rows, columns


def _slide(size: tuple[int, int], x: int, window: tuple[int, int]) -> Iterator[str]:
    """The map of one image with the window on it, and behind an arrow what it gives."""
    analysis, cell, top = analyze(CONVOLUTIONAL), 13, 76
    rows, columns = _map(analysis, size)
    down, across = _map(analysis, size, "logits")
    yield text(x, 32, f"{size[1]}x{size[0]} pixels", INK)
    yield text(x, 54, f"map of {columns}x{rows}: {across}x{down} answers", QUIET)
    yield from _cells(x, top, (rows, columns), cell, lambda r, c: r < window[0] and c < window[1])
    end = x + columns * cell
    yield text(end + 12, top + 38, "→", QUIET)
    right = end + 38
    yield from _cells(right, top, (down, across), cell, lambda r, c: r == c == 0, (AMBER, FAINT))
    yield box(x, top, window[1] * cell, window[0] * cell, "none", TEAL)


def _cells(
    x: float,
    y: float,
    grid: tuple[int, int],
    side: float,
    strong: Callable[[int, int], bool],
    colours: tuple[str, str] = (PALE, "#e6edee"),
) -> Iterator[str]:
    for row in range(grid[0]):
        for column in range(grid[1]):
            fill = colours[not strong(row, column)]
            yield box(x + column * side, y + row * side, side, side, fill, "#fff")


def sizes() -> str:
    """Which sides from 1 to 64 pixels each of the graphs takes."""
    rows = {
        "Fully connected head": CLASSIFIER,
        "The same as a convolution": CONVOLUTIONAL,
        "U-Net with three poolings": UNET,
    }
    parts = [part for i, row in enumerate(rows.items()) for part in _strip(24 + 66 * i, *row)]
    marks = [
        text(24 + 10.5 * (n - 0.5), 238, str(n), QUIET, "middle") for n in (1, *range(8, 65, 8))
    ]
    return svg(256, "Sides that a network takes", *parts, *marks)


def _strip(y: int, name: str, graph: onnx.ModelProto) -> Iterator[str]:
    axis = analyze(graph).sizes.height
    taken = [n for n in range(1, 65) if axis.admits(n)]
    yield text(24, y + 14, name)
    yield text(WIDTH - 24, y + 14, f"takes {_told(taken)}", QUIET, "end")
    for n in range(1, 65):
        yield box(24 + 10.5 * (n - 1), y + 24, 9.5, 18, TEAL if n in taken else "#e8eded")


def _told(taken: list[int]) -> str:
    if len(taken) < 6:
        return f"{taken[0]} to {taken[-1]}"
    return f"{', '.join(map(str, taken[:3]))}, ..."


def tiles() -> str:
    """An image in tiles: what two of them read, and what they answer for."""
    analysis, x, y, scale = analyze(UNET), 24, 56, 1.3
    height, width, core = 224, 512, 64
    rules = [_rule(analysis, axis) for axis in (0, 1)]
    rows, columns = plan_axis(height, core, rules[0]), plan_axis(width, core, rules[1])
    corner, inside = (rows[0], columns[0]), (rows[1], columns[4])
    parts = [box(x, y, width * scale, height * scale, "#f4f7f7", LINE)]
    parts += [
        _tile(each, x, y, scale, "source", fill) for each, fill in ((corner, FAINT), (inside, PALE))
    ]
    parts += [
        _tile(each, x, y, scale, "core", fill) for each, fill in ((corner, AMBER), (inside, TEAL))
    ]
    parts += [
        box(x + c.core_start * scale, y + r.core_start * scale, *_side(r, c, scale), "none", LINE)
        for r in rows
        for c in columns
    ]
    halo = f"halo of {rules[0].lead} pixels, on multiples of {rules[0].alignment}"
    said = f"cores of {core}x{core} pixels, {halo}; none at the image's own border"
    return svg(372, "Tiles of an image", text(x, 34, said), *parts)


def _rule(analysis: Analysis, axis: int) -> AxisRule:
    contract = (analysis.sizes.height, analysis.sizes.width)[axis]
    tiling = (analysis.tiling.height, analysis.tiling.width)[axis]
    assert tiling is not None, "nothing in this graph forbids tiles"
    return AxisRule(
        tiling.alignment, tiling.halo_before, tiling.halo_after, contract.minimum, contract.step
    )


def _side(row: AxisTile, column: AxisTile, scale: float) -> tuple[float, float]:
    return (
        (column.core_stop - column.core_start) * scale,
        (row.core_stop - row.core_start) * scale,
    )


def _tile(
    tile: tuple[AxisTile, AxisTile], x: int, y: int, scale: float, part: str, fill: str
) -> str:
    row, column = tile
    if part == "core":
        left, top = column.core_start, row.core_start
        return box(x + left * scale, y + top * scale, *_side(row, column, scale), fill)
    across, down = (column.stop - column.start) * scale, (row.stop - row.start) * scale
    return box(x + column.start * scale, y + row.start * scale, across, down, fill)


PICTURES: Mapping[str, Callable[[], str]] = {"head": head, "sizes": sizes, "tiles": tiles}

if __name__ == "__main__":
    for name, draw in PICTURES.items():
        (FOLDER / f"{name}.svg").write_text(draw(), "utf-8")
