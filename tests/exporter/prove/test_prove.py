"""`anyres prove`: somebody's ONNX file against the PyTorch model that it is said to be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest

from anyres_proto.card import METADATA_KEY, Card

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from tests.exporter.prove.conftest import Prove, Written  # noqa: E402
from tests.exporter.prove.nets import Dense  # noqa: E402
from tests.exporter.prove.nodes import DENSE, SKIP, STEM  # noqa: E402

from anyres_analyzer import analyze  # noqa: E402
from anyres_exporter.rewrite.any_size import wrapped  # noqa: E402
from anyres_exporter.rewrite.pad_rule import pad_rule  # noqa: E402


def test_a_right_file_is_proven_and_every_size_is_listed(prove: Prove, written: Written) -> None:
    code, out, _ = prove(written(DENSE), "Dense")
    assert code == 0
    assert "model.onnx is" in out
    assert "1x1" in out
    assert "100.00%" in out
    verdicts = [line.split() for line in out.splitlines() if line.endswith("  proven")]
    assert [words[0] for words in verdicts] == ["N", "H", "W"]


def test_the_numbers_are_json_too(prove: Prove, written: Written) -> None:
    code, out, _ = prove(written(DENSE), "Dense", "--json")
    told = json.loads(out)
    assert (code, told["proven"], told["culprit"]) == (0, True, None)
    sizes = {(size["batch"], size["height"], size["width"]) for size in told["sizes"]}
    assert {batch for batch, _, _ in sizes} == {1, 3}
    assert {(1, 1, 8), (1, 8, 1)} <= sizes
    assert {h % 2 for _, h, _ in sizes} == {w % 2 for _, _, w in sizes} == {0, 1}
    assert all(size["agrees"] and size["max_rel_error"] < 1e-5 for size in told["sizes"])
    assert {axis: found["sizes"] for axis, found in told["axes"].items()} == {
        "N": "any",
        "H": "at least 1",
        "W": "at least 1",
    }


def test_sizes_that_are_asked_for_are_the_ones_compared(prove: Prove, written: Written) -> None:
    _, out, _ = prove(written(DENSE), "Dense", "--json", "--sizes", "33x7,224x200")
    sizes = [(size["width"], size["height"]) for size in json.loads(out)["sizes"]]
    assert sizes == [(33, 7), (224, 200)]
    assert json.loads(out)["axes"]["H"]["sizes"] == "those asked for"


def test_answers_that_hardly_vary_prove_little_and_that_is_said(
    prove: Prove, written: Written
) -> None:
    path = written(DENSE)
    assert json.loads(prove(path, "Dense", "--json")[1])["faint"] == {}
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        if tensor.name == "head_weight":
            faint = onnx.numpy_helper.to_array(tensor) * np.float32(1e-3)
            tensor.CopyFrom(onnx.numpy_helper.from_array(faint, tensor.name))
    path.write_bytes(model.SerializeToString())
    code, out, _ = prove(path, "faint")
    assert code == 0
    assert "output 'y' varies by 0." in out


def test_arguments_and_weights_make_the_model(
    prove: Prove, written: Written, tmp_path: Path
) -> None:
    path = written(DENSE)
    assert prove(path, "dense", "--arg", "classes=2")[0] == 1  # another head
    torch.save(Dense().state_dict(), tmp_path / "dense.pt")
    assert prove(path, "dense", "--weights", tmp_path / "dense.pt")[0] == 0


def test_a_stamp_holds_the_proofs_and_leaves_the_graph_as_it_is(
    prove: Prove, written: Written
) -> None:
    path = written(DENSE)
    before = onnx.load(path)
    code, out, _ = prove(path, "Dense", "--stamp")
    assert code == 0
    assert "its card says so" in out
    after = onnx.load(path)
    card = card_in(path)
    assert after.graph.SerializeToString() == before.graph.SerializeToString()
    assert {(proof.batch, proof.height, proof.width) for proof in card.proofs} >= {(1, 1, 8)}
    assert all(proof.argmax_agreement == 1.0 for proof in card.proofs)
    assert card.provenance["proven.factory"].endswith(":Dense")
    assert "card" not in card.provenance


def test_what_is_not_proven_is_not_stamped(prove: Prove, written: Written) -> None:
    path = written(DENSE)
    before = path.read_bytes()
    assert prove(path, "dense", "--stamp")[0] == 1
    assert path.read_bytes() == before


def test_a_pinned_file_is_proven_at_its_size_in_any_batch(prove: Prove, written: Written) -> None:
    nodes = f"{STEM} f = Flatten (a) y = Gemm <transB = 1> (f, wide_weight, wide_bias)"
    code, out, _ = prove(written(nodes, "float[N,5] y", "N,3,16,16"), "Flattened", "--json")
    assert code == 0
    assert [tuple(size.values())[:3] for size in json.loads(out)["sizes"]] == [
        (16, 16, 1),
        (16, 16, 3),
    ]


def test_a_pinned_batch_is_proven_as_it_is(prove: Prove, written: Written) -> None:
    _, out, _ = prove(written(DENSE, image="2,3,H,W"), "Dense", "--json")
    assert {size["batch"] for size in json.loads(out)["sizes"]} == {2}
    assert json.loads(out)["axes"]["N"] == {"proven": True, "sizes": "2", "reason": ""}


def test_a_padded_graph_is_proven_against_the_model_in_the_same_padding(
    prove: Prove, written: Written
) -> None:
    nodes = f"""{SKIP}
    y = Add (red, up)"""
    path = written(nodes, "float[N,4,H,W] y")
    graph = onnx.load(path)
    rule = pad_rule(analyze(graph), "reflect")
    assert rule is not None
    padded = wrapped(graph, rule)
    path.write_bytes(padded.SerializeToString())
    code, out, _ = prove(path, "Skip", "--json")
    assert code == 0, out
    assert any(size["height"] % 2 for size in json.loads(out)["sizes"])
    assert prove(path, "Dense")[0] == 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["missing.onnx", "Dense"], "missing.onnx does not exist"),
        (["model.onnx", "Nothing"], "has no 'Nothing'"),
        (["model.onnx", "Dense", "--sizes", "12"], "--sizes '12' is no size"),
        (["model.onnx", "Dense", "--sizes", "9x9", "--stamp"], "--stamp is for a whole proof"),
        (["bytes.onnx", "Dense"], "takes uint8 NHWC"),
    ],
)
def test_mistakes_end_with_2_and_one_line(
    options: list[str],
    told: str,
    prove: Prove,
    written: Written,
    tmp_path: Path,
) -> None:
    written(DENSE)
    takes_bytes: Any = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 17]>
        net (uint8[N,H,W,3] image) => (float[N,3,H,W] y) {
            f = Cast <to = 1> (image)  y = Transpose <perm = [0, 3, 1, 2]> (f) }"""
    )
    (tmp_path / "bytes.onnx").write_bytes(takes_bytes.SerializeToString())
    code, out, err = prove(tmp_path / options[0], *options[1:])
    assert (code, out) == (2, "")
    assert told in err
    assert len(err.splitlines()) == 1


def card_in(path: Path) -> Card:
    metadata = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    return Card.model_validate_json(metadata[METADATA_KEY])
