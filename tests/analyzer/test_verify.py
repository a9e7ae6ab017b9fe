"""`--verify`: what ONNX Runtime does is what the report says, and where it is not, that is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import numpy_helper

from anyres_analyzer import analyze
from anyres_analyzer.errors import CannotVerify
from anyres_analyzer.report.compose import report
from anyres_analyzer.report.facts import Report
from anyres_analyzer.verify.process import ask
from anyres_analyzer.verify.verification import verified
from anyres_client.main import main

SHAPES = {"k": (2, 2, 3, 3), "s": (2, 2, 3, 3), "up": (2, 2, 2, 2), "fc": (128, 3)}
U_NET = """
    a = Conv <pads=[1,1,1,1]> (x, k)
    b = MaxPool <kernel_shape=[2,2], strides=[2,2]> (a)
    c = Conv <pads=[1,1,1,1]> (b, s)
    d = ConvTranspose <strides=[2,2]> (c, up)
    e = Add (a, d)
    y = Conv <pads=[1,1,1,1]> (e, k)
"""
FC_HEAD = """
    a = MaxPool <kernel_shape=[4,4], strides=[4,4]> (x)
    b = Flatten (a)
    y = Gemm (b, fc)
"""
CUTS_TO_NOTHING = """
    a = MaxPool <kernel_shape=[3,3], strides=[2,2], ceil_mode=1> (x)
    b = MaxPool <kernel_shape=[3,3], strides=[2,2], ceil_mode=1> (a)
    y = MaxPool <kernel_shape=[3,3], strides=[2,2], ceil_mode=1> (b)
"""


def saved(folder: Path, body: str) -> Path:
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 18]> net (float[n,2,h,w] x) => (float y) {{ {body} }}'
    )
    numbers = np.random.default_rng(0)
    model.graph.initializer.extend(
        numpy_helper.from_array(numbers.standard_normal(shape).astype(np.float32), name)
        for name, shape in SHAPES.items()
        if f", {name})" in body
    )
    path = folder / "net.onnx"
    onnx.save(model, path)
    return path


def tried(path: Path) -> Report:
    analysis = analyze(path)
    return verified(report(path.name, analysis), path, analysis)


def test_every_witness_does_what_it_shows(tmp_path: Path) -> None:
    witnesses = tried(saved(tmp_path, FC_HEAD)).witnesses
    assert {w.shows: w.confirmed for w in witnesses} == {
        "passes": True,
        "fails": True,
        "silently wrong": True,
    }


def test_tiles_of_both_axes_equal_the_whole(tmp_path: Path) -> None:
    checks = tried(saved(tmp_path, U_NET)).tile_checks
    assert len(checks) == 2
    for check in checks:
        assert check.tiles >= 3
        assert check.worst_difference is not None
        assert check.largest_value is not None
        assert check.worst_difference <= 1e-5 * check.largest_value
        assert check.bit_equal is not None
        assert 0 < check.bit_equal <= 1


def test_a_halo_that_is_too_short_shows(tmp_path: Path) -> None:
    """The check can fail: the same tiles with half the halo differ."""
    path = saved(tmp_path, U_NET)
    analysis = analyze(path)
    output = analysis.output
    rule = output.tiling.width
    assert rule is not None
    short = replace(rule, halo_before=rule.halo_before // 2, halo_after=rule.halo_after // 2)
    wrong = replace(output, tiling=replace(output.tiling, width=short))
    facts = verified(report(path.name, analysis), path, replace(analysis, outputs=(wrong,)))
    height, width = (check.worst_difference for check in facts.tile_checks)
    assert height is not None
    assert width is not None
    assert height < 1e-5 < width


def test_a_claim_that_is_wrong_is_not_confirmed(tmp_path: Path) -> None:
    path = saved(tmp_path, FC_HEAD)
    analysis = analyze(path)
    swapped = {"passes": "fails", "fails": "passes", "silently wrong": "fails"}
    facts = report(path.name, analysis)
    lies = tuple(replace(w, shows=swapped[w.shows]) for w in facts.witnesses if w.shows != "fails")
    seen = verified(replace(facts, witnesses=lies), path, analysis)
    assert [w.confirmed for w in seen.witnesses] == [False, False]


def test_a_size_that_ends_the_runtime_is_a_size_that_fails(tmp_path: Path) -> None:
    """Maps of no pixels divide by zero in some versions: whatever happens, an answer comes back."""
    path = saved(tmp_path, CUTS_TO_NOTHING)
    request = {"model": str(path), "output": "y", "shape": [1, 2, 1, 1]}
    assert set(ask(request)) <= {"refused", "shape"}
    analysis = analyze(path)
    assert [w.shows for w in analysis.witnesses] == ["passes"], "nothing is certain to fail"
    assert all(w.confirmed for w in tried(path).witnesses)


def test_a_file_that_the_runtime_cannot_open_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "no.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(CannotVerify, match="cannot run the model"):
        ask({"model": str(path), "output": "y", "shape": [1, 2, 8, 8]})


def test_the_command_says_what_the_runtime_did(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["analyze", str(saved(tmp_path, U_NET)), "--verify"]) == 0
    shown = capsys.readouterr().out
    assert "ONNX Runtime agrees" in shown
    assert "bit-equal" in shown
    assert "DISAGREES" not in shown
