"""Renders a report as one HTML file.

Nothing in the file comes from elsewhere: styles, scripts and pictures are inside it, and a content
security policy forbids the browser everything else. Names of nodes come from strangers, so the
template escapes whatever it prints, data for the scripts is JSON that no `</script>` can leave, and
of scripts the policy admits the page's own alone, by its hash.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import asdict
from hashlib import sha256
from importlib.resources import files
from math import prod
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from anyres_analyzer.analysis import Analysis
from anyres_analyzer.report.compose import usual_sizes
from anyres_analyzer.report.facts import Layer, Report, Size
from anyres_analyzer.report.formula import polynomial, sizes
from anyres_analyzer.report.numbers import mebibytes, scaled
from anyres_analyzer.report.page.curves import curve, timeline
from anyres_analyzer.report.page.drawing import drawing
from anyres_analyzer.report.page.mixing_here import mixing_here
from anyres_analyzer.report.page.photo import Photo
from anyres_analyzer.report.page.words import lead
from anyres_analyzer.report.terminal import expected

SCRIPTS = ("elements", "numbers", "chart", "sizes", "costs", "field", "tiles", "layers", "page")


def page(report: Report, analysis: Analysis, photo: Photo | None = None) -> str:
    """The whole file; `photo` is what the receptive field is drawn on.

    Raises:
        NotAModel: a weight's numbers are not what its shape needs.
    """
    size = _reference(report, analysis)
    costs, memory = curve(analysis), timeline(analysis, size)
    scene = drawing(report, analysis, photo)
    style = _text("page.css")
    script = "\n".join(_text(f"scripts/{name}.js") for name in SCRIPTS)
    return _ENVIRONMENT.get_template("page.html").render(
        report=report,
        lead=lead(report),
        size=size,
        cost=analysis.cost(size[1], size[0]),
        curve=costs,
        timeline=memory,
        drawing=scene,
        photo=photo,
        mixing=mixing_here(report, analysis, size),
        style=style,
        script=script,
        policy=_policy(style, script),
        facts={
            "axes": {"width": asdict(report.width), "height": asdict(report.height)},
            "curve": asdict(costs),
            "timeline": asdict(memory),
            "drawing": asdict(scene),
        },
    )


def _reference(report: Report, analysis: Analysis) -> Size:
    """The first of the sizes asked for that is taken: that of the layers' shapes."""
    taken = (cost.size for cost in report.costs if cost.refused is None)
    return next(taken, usual_sizes(analysis)[0])


def _policy(style: str, script: str) -> str:
    return (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; "
        f"script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return "sha256-" + b64encode(sha256(text.encode()).digest()).decode()


def _text(name: str) -> str:
    return (files(__package__) / name).read_text("utf-8")


def _node_name(layer: Layer) -> str:
    """The name inside a label: 'stem' (Conv)."""
    return layer.node.removesuffix(f" ({layer.operator})")[1:-1]


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _percent(share: float) -> str:
    """One decimal; what is little is not shown as nothing, nor what is nearly all as all."""
    if 0 < share < 0.0005:
        return "<0.1"
    return ">99.9" if 0.9995 <= share < 1 else f"{100 * share:.1f}"


_FILTERS: dict[str, Any] = {
    "expected": expected,
    "mebibytes": mebibytes,
    "name": _node_name,
    "percent": _percent,
    "polynomial": polynomial,
    "product": prod,
    "residues": sizes,
    "scaled": scaled,
    "shape": _shape,
    "times": lambda size: f"{size[0]}x{size[1]}",
    "whole": lambda count: f"{count:,}",
}

_ENVIRONMENT = Environment(
    loader=PackageLoader("anyres_analyzer.report.page", "."),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters |= _FILTERS
