"""What `anyres prove` refuses: open axes that are not, and graphs that are wrong off one size."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from tests.exporter.prove.conftest import Prove, Written  # noqa: E402
from tests.exporter.prove.nets import Adaptive  # noqa: E402
from tests.exporter.prove.nodes import DENSE, SKIP, STEM  # noqa: E402

from anyres_exporter.trace.trace import trace, traceable  # noqa: E402


def test_a_file_that_is_another_model_ends_with_1_and_the_first_wrong_node(
    prove: Prove, written: Written
) -> None:
    wrong = DENSE.replace("r = Relu (a)", "r = LeakyRelu <alpha = 0.2> (a)")
    code, out, err = prove(written(wrong), "Dense")
    assert (code, err) == (1, "")
    assert "The node to blame: 'r' (LeakyRelu)" in out
    assert "differs" in out


HEADS = {
    "Flattened": (
        f"{STEM} f = Flatten (a) y = Gemm <transB = 1> (f, wide_weight, wide_bias)",
        "Gemm",
    ),
    "Pooled": (
        f"{STEM} p = GlobalAveragePool (a) f = Flatten (p) "
        "y = Gemm <transB = 1> (f, fc_weight, fc_bias)",
        "GlobalAveragePool",
    ),
    "Averaged": (
        f"{STEM} p = ReduceMean <axes = [2, 3], keepdims = 0> (a) "
        "y = Gemm <transB = 1> (p, fc_weight, fc_bias)",
        "ReduceMean",
    ),
}


@pytest.mark.parametrize("head", HEADS)
def test_the_open_axes_of_an_fc_head_are_refused_by_its_node(
    head: str, prove: Prove, written: Written
) -> None:
    nodes, culprit = HEADS[head]
    code, out, _ = prove(written(nodes, "float[N,5] y"), head)
    assert code == 1
    verdicts = {line.split()[0]: line for line in out.splitlines() if "proven" in line}
    assert "not proven" in verdicts["H"]
    assert "not proven" in verdicts["W"]
    assert culprit in out


def test_pixels_that_become_rows_of_the_batch_are_refused(prove: Prove, written: Written) -> None:
    nodes = f"""{STEM} s = Constant <value_ints = [-1, 256]> () f = Reshape (a, s)
    y = Gemm <transB = 1> (f, wide_weight, wide_bias)"""
    code, out, _ = prove(written(nodes, "float[M,5] y"), "Flattened")
    assert code == 1
    assert "(Reshape)" in out
    code, out, _ = prove(written(nodes, "float[M,5] y"), "Rows", "--sizes", "16x16,32x16")
    assert code == 1
    assert "(2, 5) for one image" in out


def test_a_model_whose_answer_depends_on_its_batch_is_refused(
    prove: Prove, written: Written
) -> None:
    nodes = f"{STEM} m = ReduceMean <axes = [0], keepdims = 1> (a) y = Sub (a, m)"
    code, out, _ = prove(written(nodes, "float[N,4,P,Q] y"), "Centred", "--json")
    axes = json.loads(out)["axes"]
    assert code == 1
    assert {axis: found["proven"] for axis, found in axes.items()} == {
        "N": False,
        "H": True,
        "W": True,
    }
    assert "depends on the others of its batch" in axes["N"]["reason"]


def test_a_resize_to_the_traced_size_is_refused_though_it_is_the_model(
    prove: Prove, written: Written
) -> None:
    nodes = f"""{STEM} h = Conv <kernel_shape=[1,1]> (a, head_weight, head_bias)
    s = Constant <value_ints = [1, 2, 16, 16]> ()
    y = Resize <mode = "nearest", coordinate_transformation_mode = "asymmetric",
                nearest_mode = "floor"> (h, , , s)"""
    path = written(nodes)
    for factory in ("Upsampled", "Follows"):  # baked in the model as well, or by the trace alone
        code, out, _ = prove(path, factory)
        assert code == 1
        assert "Resize" in out


def test_a_table_of_positions_is_refused_where_the_file_leaves_the_size_open(
    prove: Prove, written: Written
) -> None:
    nodes = f"{STEM} y = Add (a, positions)"
    code, out, _ = prove(written(nodes, "float[N,4,P,Q] y"), "Positions")
    assert code == 1
    assert "The node to blame: 'y' (Add)" in out
    assert prove(written(nodes, "float[N,4,8,8] y", "N,3,16,16"), "Positions")[0] == 0


def test_a_graph_that_crops_where_the_model_refuses_is_not_the_model(
    prove: Prove, written: Written
) -> None:
    """The skip of an odd image is a pixel shorter than its way up; the model says so, in eager."""
    nodes = f"""{SKIP}
    size = Shape <start = 2> (red)
    sides = Constant <value_ints = [2, 3]> ()
    begin = Constant <value_ints = [0, 0]> ()
    cropped = Slice (up, begin, size, sides)
    y = Add (red, cropped)"""
    code, out, _ = prove(written(nodes, "float[N,4,H,W] y"), "Skip")
    assert code == 1
    assert "the model does not take it" in out
    code, _, _ = prove(written(nodes, "float[N,4,H,W] y"), "Skip", "--sizes", "64x64,32x48")
    assert code == 0


@pytest.mark.slow
def test_torchs_own_export_of_an_adaptive_pool_is_refused_by_the_modules_name(
    prove: Prove, tmp_path: Path
) -> None:
    image, log = torch.zeros(2, 3, 32, 32), tmp_path / "torch.log"
    inside, outputs = traceable(Adaptive().eval(), image)
    graph = trace(inside, image, outputs, dynamic_size=True, opset=20, log=log)
    path = tmp_path / "adaptive.onnx"
    path.write_bytes(graph.SerializeToString())
    for options in ([], ["--sizes", "32x32,36x40,48x33"]):
        code, out, _ = prove(path, "Adaptive", *options)
        assert code == 1
        assert "of module 'pool' (AdaptiveAvgPool2d)" in out
