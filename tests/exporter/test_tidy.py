"""What an export leaves of torch's notes, and that two exports of one model are one file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx
import onnx.parser
import pytest

from anyres_exporter.trace.tidy import SCOPES, tidy


def noted() -> onnx.ModelProto:
    """A graph with notes wherever ONNX has room for some."""
    model = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["" : 18], producer_name: "torch", doc_string: "today">
        net (float[s1,3,s7,s9] image) => (float[s1,2,s7,s9] scores, float[s1,2,"2*s7","2*s9"] twice)
        <float[s1,2,s7,s9] a, float[2,3,1,1] w = {1,2,3,4,5,6}> {
            a = Conv (image, w)
            scores = Relu (a)
            s = Constant <value = float[4] {1,1,2,2}> ()
            twice = Resize (scores, , s)
        }"""
    )
    graph = model.graph
    places: tuple[Any, ...] = (graph, *graph.node, *graph.input, *graph.output, *graph.value_info)
    for place in (*places, *graph.initializer):
        place.doc_string = "/home/someone/model.py"
        place.metadata_props.add(key="pkg.torch.onnx.stack_trace", value="/home/someone/model.py")
    model.metadata_props.add(key="made", value="/home/someone")
    for node in graph.node:
        node.metadata_props.add(key=SCOPES, value="['', 'stem', 'conv2d']")
    return model


def test_nothing_of_the_machine_stays_in_a_graph() -> None:
    model = noted()
    assert b"someone" in model.SerializeToString()
    tidy(model)
    assert b"someone" not in model.SerializeToString()
    assert not model.doc_string
    assert model.producer_name == "anyres"


def test_the_modules_of_a_node_stay() -> None:
    model = noted()
    tidy(model)
    for node in model.graph.node:
        notes = {entry.key: entry.value for entry in node.metadata_props}
        assert notes == {SCOPES: "['', 'stem', 'conv2d']"}


def test_open_axes_have_names_that_a_reader_understands() -> None:
    model = noted()
    tidy(model)
    graph = model.graph
    assert axes(graph.input[0]) == ["batch", "", "height", "width"]
    assert axes(graph.output[0]) == ["batch", "", "height", "width"]
    assert axes(graph.output[1]) == ["batch", "", "2*height", "2*width"]
    assert axes(graph.value_info[0]) == ["batch", "", "height", "width"]
    onnx.checker.check_model(model, full_check=True)


def test_axes_that_are_equal_keep_one_name() -> None:
    model = noted()
    for dim in model.graph.input[0].type.tensor_type.shape.dim[2:]:
        dim.dim_param = "s7"
    tidy(model)
    assert axes(model.graph.input[0]) == ["batch", "", "height", "height"]


def axes(value: onnx.ValueInfoProto) -> list[str]:
    return [dim.dim_param for dim in value.type.tensor_type.shape.dim]


def test_notes_inside_branches_and_functions_go_too() -> None:
    model = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["" : 18, "own" : 1]>
        net (float[n] image, bool yes) => (float[n] out) {
            b = If (yes) <
                then_branch = one () => (float[n] o) { o = Relu (image) },
                else_branch = two () => (float[n] o) { o = Neg (image) }>
            out = own.same (b)
        }
        <domain: "own", opset_import: ["" : 18]>
        same (x) => (y) { y = Identity (x) }"""
    )
    branch = model.graph.node[0].attribute[0].g
    function = model.functions[0]
    places: tuple[Any, ...] = (branch, *branch.node, function, *function.node)
    for place in places:
        place.doc_string = "here"
        place.metadata_props.add(key="note", value="here")
    tidy(model)
    assert b"here" not in model.SerializeToString()


def exported(folder: Path) -> bytes:
    """A small network's file; called in another process, too."""
    import torch

    from anyres_exporter.export import export
    from anyres_exporter.request import Sizes
    from anyres_exporter.zoo.unet import UNet
    from anyres_proto.card import Description

    torch.manual_seed(0)
    model = UNet(classes=2, width=2, depth=1)
    description = Description(name="net", task="segmentation")
    return export(model, description, folder, sizes=Sizes((8, 8), any_size="edge")).read_bytes()


@pytest.mark.torch
@pytest.mark.slow
def test_another_process_in_another_folder_writes_the_same_bytes(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    there = tmp_path / "there"
    there.mkdir()
    code = "import pathlib, runpy, sys; here, out = sys.argv[1:]; "
    code += "runpy.run_path(here)['exported'](pathlib.Path(out))"
    environment = os.environ | {"PYTHONHASHSEED": "12345", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code, __file__, str(there)]
    subprocess.run(command, cwd=there, env=environment, check=True, capture_output=True)
    here = exported(tmp_path / "here")
    assert (there / "net.onnx").read_bytes() == here
    for path in (Path(__file__).parent, tmp_path, Path(onnx.__file__).parents[1]):
        assert str(path).encode() not in here
