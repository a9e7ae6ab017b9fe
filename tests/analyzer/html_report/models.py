"""Small models, their pages, and what a page says, as the tests of the page share them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
from onnx import numpy_helper
from tests.analyzer.html_report.browser import Tab

from anyres_client.main import main

STRIDED = "[stem] a = Conv <pads=[1,1,1,1], strides=[2,2]> (x, k3) [mix] y = Conv (a, k1)"
U_NET = """
    [stem] a = Conv <pads=[1,1,1,1]> (x, k3)
    [pool] b = MaxPool <kernel_shape=[2,2], strides=[2,2]> (a)
    [up] c = Resize <mode="nearest"> (b, , two)
    [skip] d = Concat <axis=1> (a, c)
    [deep] e = Conv <pads=[1,1,1,1]> (d, deep3)
    [mix] y = Conv (e, k1)
"""
OVER_SPACE = """
    [stem] a = Conv <pads=[1,1,1,1], strides=[2,2]> (x, k3)
    [flat] b = Flatten (a)
    [head] c = Gemm <transB=1> (b, fc)
    [last] y = Gemm <transB=1> (c, fc2)
"""
POOLED = """
    [stem] a = Conv <pads=[1,1,1,1], strides=[2,2]> (x, k3)
    [pool] b = GlobalAveragePool (a)
    [flat] c = Flatten (b)
    [head] y = Gemm <transB=1> (c, fc3)
"""
SHAPES = {
    "k3": (4, 3, 3, 3),
    "k1": (6, 4, 1, 1),
    "deep3": (4, 8, 3, 3),
    "fc": (5, 4 * 8 * 8),
    "fc2": (3, 5),
    "fc3": (7, 4),
}


def model(body: str, image: str = "n,3,h,w") -> onnx.ModelProto:
    """A graph from ONNX text, with random weights wherever it names one of `SHAPES`."""
    proto = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 18]> net (float[{image}] x) => (float y) '
        f"<float[4] two = {{1,1,2,2}}> {{ {body} }}"
    )
    draw = np.random.default_rng(0)
    for name, shape in SHAPES.items():
        if re.search(rf"\b{name}\b", body):
            weight = draw.normal(size=shape).astype(np.float32)
            proto.graph.initializer.append(numpy_helper.from_array(weight, name))
    return proto


def page(folder: Path, proto: onnx.ModelProto, name: str, *options: str) -> Path:
    source, written = folder / f"{name}.onnx", folder / f"{name}.html"
    onnx.save(proto, source)
    assert main(["analyze", str(source), "--html", str(written), *options]) == 0
    return written


def readout(tab: Tab) -> dict[str, str]:
    """What is said of the output pixel under the pointer."""
    return dict(zip(tab.texts(".readout dt"), tab.texts(".readout dd"), strict=True))


def box(tab: Tab, selector: str) -> list[float]:
    """x, y, width and height of a drawn rectangle, in the drawing's own units."""
    names = ("x", "y", "width", "height")
    found = f"document.querySelector({json.dumps(selector)})"
    return [float(tab.value(f"{found}.getAttribute('{name}') ?? 0")) for name in names]
