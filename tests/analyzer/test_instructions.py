"""What onnx-tool counts of each operator, against onnx-tool on the same graph."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import onnx
import onnx.parser
import pytest

from anyres_analyzer import analyze
from anyres_analyzer.cost.instructions import ONNX_TOOL
from anyres_analyzer.cost.reconcile import Reconciliation
from anyres_analyzer.report.reconciled import reconciled

onnx_tool: Any = pytest.importorskip("onnx_tool")

HEIGHT, WIDTH = 12, 16
WEIGHTS = {
    "k": (8, 2, 3, 3),
    "t": (4, 3, 2, 2),
    "m": (16, 5),
    "g": (768, 2),
    "h": (2, 768),
    **{f"v{length}": (length,) for length in (2, 4, 6, 8, 16)},
}
UNARY = (
    "Abs Ceil Exp Floor HardSigmoid HardSwish Identity LeakyRelu Log LogSoftmax Neg Reciprocal "
    "Relu Sigmoid Sign Sqrt Tanh Elu Softmax Softplus Erf GlobalAveragePool Flatten"
).split()
BODIES = [
    *(f"y = {operator} (x)" for operator in UNARY),
    *(f"y = {operator} (x, x)" for operator in "Add Sub Mul Div Max Min Pow".split()),
    "y = Sum (x, x, x)",
    "y = Conv <group=2, pads=[1,1,1,1], strides=[2,1]> (x, k)",
    "y = Conv <group=2> (x, k, v8)",
    "y = ConvTranspose <strides=[2,2]> (x, t)",
    "y = ConvTranspose <strides=[2,2], group=2> (x, t, v6)",
    "y = MatMul (x, m)",
    "a = Flatten (x)\ny = Gemm (a, g)",
    "a = Flatten (x)\ny = Gemm <transB=1> (a, h, v2)",
    "y = LayerNormalization <axis=-1> (x, v16, v16)",
    "y = BatchNormalization (x, v4, v4, v4, v4)",
    "y = InstanceNormalization (x, v4, v4)",
    "y = LRN <size=5> (x)",
    "y = MaxPool <kernel_shape=[3,2], strides=[2,2]> (x)",
    "y = AveragePool <kernel_shape=[2,2], strides=[2,2]> (x)",
    "y = PRelu (x, v16)",
    *(f'y = Resize <mode="{mode}"> (x, , two)' for mode in ("nearest", "linear", "cubic")),
    "y = ReduceMean <axes=[2,3]> (x)",
    "y = ReduceMax <axes=[1]> (x)",
    "y = Concat <axis=1> (x, x)",
    "y = Transpose (x)",
    "s = Shape (x)\nd = Mul (s, s)\ne = Div (d, s)\ny = Reshape (x, e)",
]


def counted(body: str, path: Path) -> tuple[Reconciliation, int, int]:
    """Ours of the tool, and the tool's operations and parameters."""
    weights = [
        f"float[{','.join(map(str, shape))}] {name} = {{{','.join('1' * prod(shape))}}}"
        for name, shape in WEIGHTS.items()
        if f" {name}," in body or f" {name})" in body
    ]
    weights += ["float[4] two = {1,1,2,2}"] if "two)" in body else []
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 17]> net (float[1,4,{HEIGHT},{WIDTH}] x) '
        f"=> (float y) <{', '.join(weights)}> {{ {body} }}"
    )
    (at,) = reconciled("net", analyze(model), ONNX_TOOL, [(WIDTH, HEIGHT)]).at
    assert at.counted is not None
    onnx.save(model, path)
    graph = onnx_tool.Model(str(path)).graph
    graph.shape_infer()
    graph.profile()
    return at.counted, int(graph.macs[0]), graph.params


@pytest.mark.parametrize("body", BODIES)
def test_an_operator_is_counted_as_onnx_tool_counts_it(body: str, tmp_path: Path) -> None:
    ours, operations, parameters = counted(body, tmp_path / "net.onnx")
    assert ours.uncounted == ()
    assert ours.theirs == operations
    assert ours.their_parameters == parameters
