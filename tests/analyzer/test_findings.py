"""What a report puts first: where a file says what is not so."""

from __future__ import annotations

import onnx
import onnx.parser
import pytest

from anyres_analyzer import analyze
from anyres_analyzer.report.compose import report

HEAD = "a = Flatten (x)\n[fc] y = Gemm (a, w)"
POOL = "<kernel_shape=[2,2], strides=[2,2]>"
U_NET = f"a = MaxPool {POOL} (x)\nb = Resize (a, , two)\n[join] y = Add (x, b)"
BAKED = f"a = MaxPool {POOL} (x)\n[up] y = Resize (a, , , made)"
CONSTANTS = {
    "w": f"float[64,2] w = {{{','.join('1' * 128)}}}",
    "two": "float[4] two = {1,1,2,2}",
    "made": "int64[4] made = {1,1,16,16}",
}


def found(body: str, image: str = "1,1,h,w") -> list[tuple[str, str]]:
    used = ", ".join(text for name, text in CONSTANTS.items() if f" {name})" in body)
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 18]> net (float[{image}] x) => (float y) '
        f"<{used}> {{ {body} }}"
    )
    facts = report("net.onnx", analyze(model))
    return [(finding.level, finding.message) for finding in facts.findings]


def test_a_dynamic_axis_that_is_not_true_is_an_error() -> None:
    declared, silent = found(HEAD)
    assert declared[0] == silent[0] == "error"
    assert declared[1].startswith(
        "height (h) and width (w) are declared dynamic, but take 8 only. "
    )
    assert "'fc' (Gemm): its weights contract 64 values" in declared[1]
    assert "runs without an error and is wrong" in silent[1]


def test_a_baked_size_is_an_error_and_says_what_is_right() -> None:
    levels, messages = zip(*found(BAKED), strict=True)
    assert set(levels) == {"error"}
    assert "other sizes are wrong in silence; right is 16. 'up' (Resize)" in messages[0]


def test_a_step_is_a_warning() -> None:
    ((level, message),) = found(U_NET)
    assert level == "warning"
    assert "but take 2, 4, ... only. 'join' (Add)" in message


@pytest.mark.parametrize("image", ["1,1,16,16", "1,1,h,w"])
def test_nothing_is_said_of_what_is_true(image: str) -> None:
    assert found("y = Relu (x)", image) == []
    if image == "1,1,16,16":
        assert found(U_NET, image) == []
