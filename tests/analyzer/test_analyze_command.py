"""`anyres analyze` as a person or a script meets it."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import onnx
import onnx.parser
import pytest

from anyres_analyzer import analyze
from anyres_analyzer.report.compose import report
from anyres_analyzer.report.encoding import decoded, schema
from anyres_client.main import main

U_NET = """
    [stem] a = Conv <pads=[1,1,1,1]> (x, k3)
    b = MaxPool <kernel_shape=[2,2], strides=[2,2]> (a)
    c = Resize <mode="nearest"> (b, , two)
    [skip] y = Concat <axis=1> (a, c)
"""
WEIGHTS = f"float[4,3,3,3] k3 = {{{','.join('1' * 108)}}}, float[4] two = {{1,1,2,2}}"


@pytest.fixture
def u_net(tmp_path: Path) -> Path:
    return saved(tmp_path / "u_net.onnx", U_NET)


def saved(path: Path, body: str, image: str = "n,3,h,w") -> Path:
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 18]> net (float[{image}] x) => (float y) '
        f"<{WEIGHTS}> {{ {body} }}"
    )
    onnx.save(model, path)
    return path


def test_the_report_says_what_decides_in_a_hundred_columns(
    u_net: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "180")
    assert main(["analyze", str(u_net), "--size", "64x32", "--size", "7x8"]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 100
    assert "stepped" in shown
    assert "'skip' (Concat)" in shown
    assert "64 x 32" in shown
    assert "not taken" in shown
    assert "k x k convolution" in shown


def test_the_json_is_exact(u_net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["analyze", str(u_net), "--size", "64x32", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["width"] | {"also": None} == {
        "verdict": "stepped",
        "minimum": 2,
        "step": 2,
        "maximum": None,
        "node": "'skip' (Concat)",
        "reason": "it joins maps of different sizes: 299 and 298",
        "also": None,
    }
    assert printed["outputs"][0]["field_width"]["stride"] == "1"
    assert printed["parameters"] == 108
    assert printed["kinds"] == [{"kind": "k x k convolution", "layers": 1, "parameters": 108}]
    macs = 64 * 32 * 4 * 3 * 9
    assert printed["costs"] == [
        {
            "size": [64, 32],
            "refused": None,
            "macs": macs,
            "activation_bytes": 4 * 64 * 32 * (3 + 4 + 4 + 8),
            "peak_node": "'skip' (Concat)",
            # The stem's map in a block of 16 channels, and its 4 copied out of it.
            "runtime_bytes": 4 * 64 * 32 * (16 + 4),
            "arena_bytes": 2**20 + 2**20 // 32,  # a first region, and its table of handles
            "output_shape": [1, 8, 32, 64],
            "answers": [64, 32],
        }
    ]
    (layer,) = printed["layers"]
    assert (layer["node"], layer["macs"], layer["output_shape"]) == (
        "'stem' (Conv)",
        macs,
        [1, 4, 32, 64],
    )


def test_the_json_reads_back_as_the_same_report(
    u_net: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["analyze", str(u_net), "--json"]) == 0
    assert decoded(capsys.readouterr().out) == report(u_net.name, analyze(u_net))


def test_the_committed_schema_is_that_of_the_report() -> None:
    committed = files("anyres_analyzer.report") / "report.schema.json"
    assert committed.read_text() == schema()


def test_fractions_are_written_as_ratios(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = saved(tmp_path / "up.onnx", "y = Resize (x, , two)")
    assert main(["analyze", str(path), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["outputs"][0]["field_height"]["stride"] == "1/2"
    assert [cost["size"] for cost in printed["costs"]] == [[224, 224], [512, 512]]


def test_a_pinned_model_is_counted_at_its_own_size(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = saved(tmp_path / "pinned.onnx", "y = Relu (x)", image="1,3,48,64")
    assert main(["analyze", str(path), "--json"]) == 0
    (cost,) = json.loads(capsys.readouterr().out)["costs"]
    assert cost["size"] == [64, 48]


@pytest.mark.parametrize("size", ["451", "451x", "0x300", "451*300", "-1x5", "axb"])
def test_a_size_that_is_none_gets_one_line(
    size: str, u_net: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["analyze", str(u_net), f"--size={size}"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        f"anyres analyze: --size is WIDTHxHEIGHT in pixels, like 451x300; got {size!r}"
    ]


@pytest.mark.parametrize("content", [b"", b"hello", b"\x08\x01\x12"])
def test_a_file_that_is_no_model_gets_one_line(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    assert main(["analyze", str(path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "model.onnx is not an ONNX model" in line


def test_a_file_that_is_not_there_gets_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["analyze", "/nowhere.onnx"]) == 2
    assert "/nowhere.onnx: No such file" in capsys.readouterr().err


def test_a_1x1_convolution_is_shown_to_mix_channels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 18]>
        net (float[n,2,h,w] x) => (float y) <float[2,2,1,1] k = {3,4,0,0}> {
            [mix] y = Conv (x, k)
        }"""
    )
    path = tmp_path / "mix.onnx"
    onnx.save(model, path)
    assert main(["analyze", str(path), "--mixing"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "'mix' (Conv) 2 x 2 1 of 2 64.0%" in shown
    assert main(["analyze", str(path), "--mixing", "--json"]) == 0
    (layer,) = json.loads(capsys.readouterr().out)["mixing"]
    assert (layer["rank"], layer["off_diagonal"]) == (1, 0.64)
