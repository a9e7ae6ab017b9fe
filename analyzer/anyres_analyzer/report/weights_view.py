"""What the parameters are for, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.text import Text

from anyres_analyzer.report.facts import Report
from anyres_analyzer.report.numbers import scaled
from anyres_analyzer.report.tables import table
from anyres_analyzer.weights.mixing import Mixing

_BAR = 24


def parameters(report: Report) -> RenderableType:
    """By kind, and how they grow with the image."""
    rows = table(("kind", "left"), "layers", "parameters", "share", ("", "left"))
    for kind in report.kinds:
        share = kind.parameters / report.parameters
        bar = Text("━" * max(1, round(_BAR * share)), "blue")
        rows.add_row(kind.kind, str(kind.layers), f"{kind.parameters:,}", f"{share:.1%}", bar)
    rows.add_section()
    layers = sum(kind.layers for kind in report.kinds)
    rows.add_row("total", str(layers), f"{report.parameters:,}", "", "")
    return Group(rows, Text(), *_growth(report))


def _growth(report: Report) -> Iterator[Text]:
    grown = [entry for entry in report.growth if entry.node is not None]
    if not grown:
        yield Text("the same number whatever the size of the image", "dim")
    for entry in grown:
        width, height = entry.size
        yield Text.assemble(
            (f"for {width}x{height} the same layers would need {entry.parameters:,}: ", "dim"),
            (f"{entry.node}", "cyan"),
            (f" over {entry.map[0]}x{entry.map[1]}" if entry.map else "", "dim"),
        )


def mixing(layers: tuple[Mixing, ...]) -> RenderableType:
    """Each 1x1 convolution's matrix, and what it would be as an FC layer over its map."""
    if not layers:
        return Text("There is no 1x1 convolution.")
    columns = "matrix", "rank", "off its diagonal", "parameters", "as an FC layer"
    rows = table(("1x1 convolution", "left"), *columns)
    for layer in layers:
        rank = "?" if layer.rank is None else f"{layer.rank} of {layer.full_rank}"
        off = "-" if layer.off_diagonal is None else f"{layer.off_diagonal:.1%}"
        matrix = f"{layer.outputs} x {layer.inputs}"
        counts = f"{layer.parameters:,}", scaled(layer.fc_parameters)
        rows.add_row(Text(layer.node, "cyan"), matrix, rank, off, *counts)
    width, height = layers[0].size
    explained = (
        "off its diagonal: the share of the squared weights that mix one channel into another\n"
        "as an FC layer: the weights from the same map to the same map, of an image of "
        f"{width}x{height}"
    )
    return Group(rows, Text(explained, "dim"))
