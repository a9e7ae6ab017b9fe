"""Which node is named where a graph is not the model: the first that goes wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from torch import Tensor, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from anyres_exporter.proof import culprit  # noqa: E402
from anyres_exporter.proof.compare import compare  # noqa: E402
from anyres_exporter.proof.sizes import Size  # noqa: E402
from anyres_exporter.rewrite.any_size import AnySize, wrapped  # noqa: E402
from anyres_exporter.rewrite.pad_rule import AxisCrop, Crop, PadRule  # noqa: E402
from anyres_proto.card import AxisPadding, Padding  # noqa: E402


class Net(nn.Module):
    """Two branches, joined."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.left = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1)
        self.pool, self.right = nn.MaxPool2d(2, 2), nn.Conv2d(2, 2, 1)
        self.head = nn.Conv2d(2, 3, 1)

    def forward(self, image: Tensor) -> Tensor:
        stem = self.stem(image)
        left = self.left(stem)
        right = F.interpolate(self.right(self.pool(stem)), scale_factor=2.0)
        y: Tensor = self.head(self.join(stem, left, right))
        return y

    def join(self, _stem: Tensor, left: Tensor, right: Tensor) -> Tensor:
        """What the head is given."""
        return left + right


NODES = """
    s = Conv <kernel_shape=[3,3], pads=[1,1,1,1]> (image, stem_weight, stem_bias)
    l = Conv <kernel_shape=[3,3], pads=[1,1,1,1]> (s, left_weight, left_bias)
    p = MaxPool <kernel_shape=[2,2], strides=[2,2]> (s)
    r = Conv <kernel_shape=[1,1]> (p, right_weight, right_bias)
    roomy = Constant <value_floats = [1.0, 1.0, 2.0, 2.0]> ()
    u = Resize <mode = "nearest", coordinate_transformation_mode = "asymmetric",
                nearest_mode = "floor"> (r, , roomy)
    j = Add (l, u)
    y = Conv <kernel_shape=[1,1]> (j, head_weight, head_bias)
"""
MISTAKES = {  # what is written wrong -> the node and module that are named
    ("p = MaxPool <", "p = AveragePool <"): "'p' (AveragePool) of module 'pool' (MaxPool2d)",
    ("(s, left_weight", "(s, head_twice"): "'l' (Conv) of module 'left' (Conv2d)",
    ('nearest_mode = "floor"', 'nearest_mode = "ceil"'): "'u' (Resize)",
    ("y = Conv <kernel_shape=[1,1]> (j", "y = Conv <kernel_shape=[1,1]> (l"): "'y' (Conv)",
}
SIZE: Size = (1, 8, 6)


def graph(nodes: str, opset: int = 17) -> onnx.ModelProto:
    model: Any = onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["" : {opset}]>
        net (float[N,1,H,W] image) => (float[N,3,P,Q] y) {{ {nodes} }}"""
    )
    state = {name.replace(".", "_"): value.numpy() for name, value in Net().state_dict().items()}
    state["stem_wrong"] = np.ones((2, 1, 3, 3), np.float32)
    state["head_twice"] = np.roll(state["left_weight"], 1, axis=0)
    used = {name for node in model.graph.node for name in node.input}
    model.graph.initializer.extend(
        onnx.numpy_helper.from_array(value, name) for name, value in state.items() if name in used
    )
    made: onnx.ModelProto = model
    return made


def named(nodes: str) -> str | None:
    (comparison,) = compare(Net(), graph(nodes), [SIZE], 1)
    assert not comparison.agrees
    return culprit.find(Net().eval(), graph(nodes), comparison, 1)


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake[1])
def test_the_first_wrong_node_of_a_foreign_graph_is_named(mistake: tuple[str, str]) -> None:
    found = named(NODES.replace(*mistake))
    assert found is not None
    assert found.startswith(MISTAKES[mistake].partition(" of module")[0])


def test_a_size_that_is_right_tells_whose_tensor_is_whose() -> None:
    """At 4x4 all is right; else the pool is, its map is lost after it, and a skip is no module."""

    class Skipping(Net):
        def join(self, *maps: Tensor) -> Tensor:
            return maps[1] + maps[2] + F.relu(maps[0])

    nodes = NODES.replace("j = Add (l, u)", "i = Add (l, u) j = Add (i, k)").replace(
        "p = MaxPool <kernel_shape=[2,2], strides=[2,2]> (s)",
        """k = Relu (s)
        whole = Shape <start = 2> (s)
        four = Constant <value_ints = [4, 4]> ()
        is_four = Equal (whole, four)
        as_number = Cast <to = 1> (is_four)
        factor = ReduceMin <keepdims = 0> (as_number)
        q = MaxPool <kernel_shape=[2,2], strides=[2,2]> (s)
        p = Mul (q, factor)""",
    )
    right, wrong = compare(Skipping(), graph(nodes), [(1, 4, 4), SIZE], 1)
    assert (right.agrees, wrong.agrees) == (True, False)
    found = culprit.find(Skipping().eval(), graph(nodes), wrong, 1, agreed=(1, 4, 4))
    assert found == "'p' (Mul)"


def test_a_node_that_onnx_runtime_stops_at_is_named() -> None:
    nodes = NODES.replace("j = Add (l, u)", "w = Transpose <perm = [0,1,3,2]> (u) j = Add (l, w)")
    made = graph(nodes)
    for node in made.graph.node:
        node.name = f"node of {node.output[0]}"
    (comparison,) = compare(Net(), made, [SIZE], 1)
    assert culprit.find(Net(), made, comparison, 1) == "'node of j' (Add)"
    assert comparison.said().startswith("ONNX Runtime stops at 'node of j' (Add): ")


def test_a_node_without_a_name_is_called_by_its_output() -> None:
    nodes = NODES.replace("j = Add (l, u)", "w = Transpose <perm = [0,1,3,2]> (u) j = Add (l, w)")
    (comparison,) = compare(Net(), graph(nodes), [SIZE], 1)
    assert "Name:''" in comparison.failure
    assert culprit.find(Net(), graph(nodes), comparison, 1) == "'j' (Add)"


def test_where_the_model_itself_does_not_run_no_node_is_blamed() -> None:
    class Even(Net):
        def forward(self, image: Tensor) -> Tensor:
            if image.shape[2] == 8:
                raise ValueError("eight")
            return super().forward(image)

    (comparison,) = compare(Even(), graph(NODES), [SIZE], 1)
    assert comparison.failure == "the model does not take it: eight"
    assert culprit.find(Even(), graph(NODES), comparison, 1) is None


def test_what_pads_is_not_blamed_for_what_comes_after_it() -> None:
    """Nothing of the network is right, but the image that it is given is."""
    rule = PadRule(
        Padding(
            height=AxisPadding(step=4, minimum=4),
            width=AxisPadding(step=4, minimum=4),
            mode="reflect",
        ),
        (Crop("y", AxisCrop(), AxisCrop()),),
    )
    made = wrapped(graph(NODES.replace("(image, stem_weight", "(image, stem_wrong")), rule)
    oracle = AnySize(Net(), rule).eval()
    (comparison,) = compare(oracle, made, [(1, 5, 7)], 1)
    assert not comparison.failure
    assert culprit.find(oracle, made, comparison, 1) == "'s' (Conv)"


def test_layers_that_were_fused_are_right_where_the_last_of_them_is() -> None:
    """Torch's names say 'conv' of a node that has the batch norm in it; what is wrong is 'head'."""

    class Normed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.conv, self.norm = nn.Conv2d(1, 2, 1, bias=False), nn.BatchNorm2d(2)
            nn.init.constant_(self.norm.weight, 0.5)
            self.head = nn.Conv2d(2, 3, 1, bias=False)

        def forward(self, image: Tensor) -> Tensor:
            y: Tensor = self.head(self.norm(self.conv(image)))
            return y

    model = Normed().eval()
    made: Any = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 17]>
        net (float[N,1,H,W] image) => (float[N,3,P,Q] y) {
            c = Conv (image, fused)
            y = Conv (c, wrong) }"""
    )
    fused = model.conv.weight.detach().numpy() * np.float32(0.5)
    wrong = 2 * model.head.weight.detach().numpy()
    for name, value in {"fused": fused, "wrong": wrong}.items():
        made.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    for node, module in zip(made.graph.node, ("conv", "head"), strict=True):
        node.metadata_props.add(key="pkg.torch.onnx.name_scopes", value=f"['', '{module}', '']")
    (comparison,) = compare(model, made, [SIZE], 1)
    assert culprit.find(model, made, comparison, 1) == "'y' (Conv) of module 'head' (Conv2d)"
