"""`anyres analyze --as` as a person or a script meets it, against sums written out by hand."""

from __future__ import annotations

import json
from math import prod
from pathlib import Path

import onnx
import onnx.parser
import pytest

from anyres_analyzer.cost.conventions import CONVENTIONS
from anyres_client.main import main

WEIGHTS = {"k": (4, 3, 3, 3), "b": (4,), "up": (4, 2, 2, 2), "fc": (4, 2)}
BODY = """
    [stem] s = Conv <pads=[1,1,1,1], strides=[2,1]> (x, k, b)
    r = Relu (s)
    [up] t = ConvTranspose <strides=[2,2]> (r, up)
    y = Resize <mode="linear"> (t, , two)
"""
PIXELS = 16 * 5  # of the stem's map, at 16x9
STEM, UP = PIXELS * 4 * 27, PIXELS * 4 * 2 * 4


@pytest.fixture
def model(tmp_path: Path) -> str:
    return saved(tmp_path / "net.onnx", BODY)


def saved(path: Path, body: str, image: str = "1,3,h,w") -> str:
    weights = [
        f"float[{','.join(map(str, shape))}] {name} = {{{','.join('1' * prod(shape))}}}"
        for name, shape in WEIGHTS.items()
    ]
    parsed = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 18]> net (float[{image}] x) => (float y) '
        f"<{', '.join(weights)}, float[4] two = {{1,1,2,2}}> {{ {body} }}"
    )
    onnx.save(parsed, path)
    return str(path)


def test_ours_and_the_items_are_theirs(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["analyze", model, "--as", "thop", "--size", "16x9", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    (at,) = printed.pop("at")
    assert printed == {
        "model": "net.onnx",
        "tool": "thop",
        "version": "0.1.1.post2209072238",
        "unit": "ops, a multiply-add being one",
        "looks_at": "hooks on torch modules",
        "parameters": "parameters of the modules that it has a rule for",
    }
    assert (at["size"], at["refused"]) == ([16, 9], None)
    counted = at["counted"]
    items = {item["what"]: item["operations"] for item in counted["items"]}
    assert items == {"ConvTranspose": 3 * UP, "linear resize": 11 * 2 * 64 * 20}
    assert counted["ours"] == STEM + UP
    assert counted["theirs"] == STEM + 4 * UP + items["linear resize"]
    assert counted["items"][1]["otherwise"] == [
        {"operations": 0, "when": "F.interpolate, which it does not see"}
    ]
    assert counted["folded"] == [
        {"node": "'stem' (Conv)", "operations": 4 * 4 * PIXELS, "parameters": 4}
    ]


def test_the_sum_is_written_out_in_a_hundred_columns(
    model: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "180")
    assert main(["analyze", model, "--as", "ptflops", "--size", "16x9", "--size", "2x2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    said = [" ".join(line.split()) for line in lines]
    bias, relu, resize = 4 * PIXELS, 2 * 4 * PIXELS, 2 * 2 * 64 * 20
    theirs = STEM + UP + bias + relu + resize
    assert said[said.index("At 16 x 9") :][1:10] == [
        f"anyres {STEM + UP:,} one per multiply-add",
        f"bias of a convolution (1) +{bias:,} 1 per number that comes out",
        f"Relu (1) +{relu:,} nn.ReLU is counted, and again the function in it",
        f"or +{relu // 2:,} called as a function",
        f"linear resize (1) +{resize:,} nn.Upsample is counted, and again the function in it",
        f"or +{resize // 2:,} called as a function",
        f"ptflops {theirs:,}",
        f"or {theirs + bias:,} if the bias of 1 convolution was once a batch norm",
        "",
    ]
    assert said[-4:] == [
        "Parameters",
        "anyres 144 learned numbers of the graph",
        "ptflops 144",
        "or 148 with the scale and shift of that batch norm",
    ]


def test_a_tool_that_reads_the_graph_sees_constants_and_no_folded_norms(
    model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["analyze", model, "--as", "onnx-tool", "--size", "16x9"]) == 0
    said = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "constants that are not learned +4 shapes, axes, statistics count too" in said
    assert "onnx-tool 148" in said
    assert not any("batch norm" in line for line in said)


def test_what_is_counted_alike_is_no_item(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body = "a = Conv (x, k)\nc = GlobalAveragePool (a)\nd = Flatten (c)\ny = Gemm (d, fc)"
    path = saved(tmp_path / "fc.onnx", body)
    assert main(["analyze", path, "--as", "torchinfo", "--size", "16x9", "--json"]) == 0
    (at,) = json.loads(capsys.readouterr().out)["at"]
    assert at["counted"]["items"] == []
    assert at["counted"]["theirs"] == 14 * 7 * 4 * 27 + 4 * 2


def test_only_a_tool_that_reads_the_graph_counts_arithmetic_on_shapes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body = "s = Shape (x)\n[four] d = Mul (s, s)\ne = Div (d, s)\ny = Reshape (x, e)"
    path = saved(tmp_path / "shape.onnx", body)
    found = {}
    for tool in ("ptflops", "onnx-tool"):
        assert main(["analyze", path, "--as", tool, "--size", "16x9", "--json"]) == 0
        (at,) = json.loads(capsys.readouterr().out)["at"]
        found[tool] = {item["what"]: item["operations"] for item in at["counted"]["items"]}
    assert found == {"ptflops": {}, "onnx-tool": {"Mul": 4, "Div": 4 * 4}}


def test_a_node_without_a_rule_is_named_and_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = saved(tmp_path / "odd.onnx", "[odd] y = ThresholdedRelu (x)")
    for tool in CONVENTIONS:
        assert main(["analyze", path, "--as", tool, "--size", "16x9"]) == 0
        said = " ".join(capsys.readouterr().out.split())
        assert f"{tool} 0 without what no rule is known for: 'odd' (ThresholdedRelu)" in said


def test_a_size_that_is_not_taken_is_said_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pinned = saved(tmp_path / "pinned.onnx", BODY, "1,3,9,16")
    assert main(["analyze", pinned, "--as", "fvcore", "--size", "20x9", "--size", "16x9"]) == 0
    said = capsys.readouterr().out
    assert "not taken: width 20 is not admitted" in said
    assert "At 16 x 9\n  anyres" in said


def test_a_tool_that_is_none_gets_one_line(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["analyze", model, "--as", "fvcor"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "anyres analyze: --as is one of fvcore, ptflops, torchinfo, thop, onnx-tool; got 'fvcor'"
    ]
