"""What a comparison of a graph with its model says, and what it never lets pass.

The graphs are ONNX text, so each mistake in them is in plain sight.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnx.parser
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from torch import Tensor, nn  # noqa: E402

from anyres_exporter.proof.compare import Comparison, compare, noise  # noqa: E402
from anyres_exporter.proof.difference import difference, differences  # noqa: E402

SIZES = [(1, 4, 6), (3, 5, 5)]


def graph(outputs: str, nodes: str) -> Any:
    return onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["" : 17]>
        net (float[N,3,H,W] image) => ({outputs}) {{ {nodes} }}"""
    )


class Lambda(nn.Module):
    """A module that does what a function does."""

    def __init__(self, function: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.function = function

    def forward(self, image: Tensor) -> object:
        return self.function(image)


def compared(model: Callable[[Tensor], object], made: onnx.ModelProto) -> list[Comparison]:
    return list(compare(Lambda(model), made, SIZES, 3))


class Pair(NamedTuple):
    double: Tensor
    half: Tensor


@dataclass
class Record:
    double: Tensor
    half: Tensor


TWO = graph(
    "float[N,3,H,W] double, float[N,3,H,W] half",
    "double = Add (image, image)  two = Constant <value_float = 2.0> ()  half = Div (image, two)",
)


@pytest.mark.parametrize(
    "model",
    [
        lambda x: {"double": 2 * x, "half": x / 2},
        lambda x: {"half": x / 2, "double": 2 * x},
        lambda x: Pair(2 * x, x / 2),
        lambda x: Record(2 * x, x / 2),
        lambda x: (2 * x, x / 2),
    ],
)
def test_outputs_meet_by_name_or_in_their_order(model: Callable[[Tensor], object]) -> None:
    for comparison in compared(model, TWO):
        assert comparison.agrees
        assert [output.output for output in comparison.outputs] == ["double", "half"]


def test_the_worst_output_is_told_relative_to_its_own_size() -> None:
    (one, _) = compared(lambda x: {"double": 2.001 * x, "half": x / 2}, TWO)
    assert not one.agrees
    assert one.worst.output == "double"
    assert one.max_rel_error == pytest.approx(1 - 2 / 2.001, rel=1e-3)
    assert one.max_abs_error == pytest.approx(0.001 * abs(noise(1, 3, 4, 6)).max(), rel=1e-3)
    assert one.argmax_agreement == 1.0
    assert one.said().startswith("output 'double' differs from PyTorch by 0.0")


def test_an_error_in_a_small_output_is_not_hidden_by_a_large_one() -> None:
    (one, _) = compared(lambda x: {"double": 2 * x, "half": x / 2.01}, TWO)
    assert (one.agrees, one.worst.output) == (False, "half")


def test_a_callable_of_arrays_is_an_oracle_too() -> None:
    made = graph("float[N,3,H,W] double", "double = Add (image, image)")
    assert all(c.agrees for c in compare(lambda image: {"y": 2 * image}, made, SIZES, 3))
    assert not any(c.agrees for c in compare(lambda image: {"y": 3 * image}, made, SIZES, 3))


def test_a_class_map_agrees_by_the_share_of_equal_cells() -> None:
    made = graph("int64[N,H,W] classes", "classes = ArgMax <axis = 1, keepdims = 0> (image)")
    right = compared(lambda x: x.argmax(1), made)
    assert [(c.agrees, c.argmax_agreement) for c in right] == [(True, 1.0), (True, 1.0)]
    for comparison in compared(lambda x: (-x).argmax(1), made):
        assert not comparison.agrees
        assert comparison.argmax_agreement is not None
        assert comparison.argmax_agreement < 0.5
        assert "of its values" in comparison.said()


def test_whole_numbers_are_not_compared_with_values() -> None:
    made = graph("int64[N,H,W] classes", "classes = ArgMax <axis = 1, keepdims = 0> (image)")
    (one, _) = compared(lambda x: x.argmax(1).float(), made)
    assert "the graph answers int64, the model float32" in one.failure


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_agrees_with_nothing_not_even_itself(value: float) -> None:
    right = np.array([[1.0, 2.0]], np.float32)
    wrong = np.array([[1.0, value]], np.float32)
    assert difference("y", right, right).agrees
    for expected, actual in [(wrong, wrong), (right, wrong), (wrong, right)]:
        assert not difference("y", expected, actual).agrees


def test_argmax_agreement_is_the_share_of_cells_and_none_for_one_channel() -> None:
    expected = np.array([[[1.0, 5.0, 1.0, 1.0], [0.0, 0.0, 3.0, 4.0]]])
    actual = np.array([[[0.0, 5.0, 1.0, 1.0], [1.0, 0.0, 3.0, 4.0]]])
    assert difference("y", expected, actual).agreement == 0.75
    assert difference("y", expected[:, :1], actual[:, :1]).agreement is None


def test_the_spread_is_how_far_answers_lie_from_their_channels_mean() -> None:
    answer = np.array([[[10.0, 10.0, 10.0], [-1.0, 0.0, 4.0]]])
    assert difference("y", answer, answer).spread == pytest.approx(3 / 10)
    assert difference("y", answer[:, :1], answer[:, :1]).spread == 0.0


def test_names_that_do_not_meet_are_listed() -> None:
    x = np.zeros((1, 2))
    (one,) = differences({"out": x, "aux": x}, {"scores": x})
    assert one.failure == "the graph's outputs are scores, the model's out, aux"
    (kept,) = differences({"out": x, "aux": x + 1}, {"aux": x + 1})
    assert kept.agrees


def test_a_graph_that_mixes_the_images_of_a_batch_is_found_out() -> None:
    made = graph("float[N,3,H,W] y", "y = CumSum (image, axis)")
    made.graph.initializer.append(onnx.numpy_helper.from_array(np.array(0), "axis"))
    one, three = compared(lambda x: x, made)
    assert one.agrees
    assert not three.agrees


def test_a_model_that_mixes_the_images_of_a_batch_is_found_out_although_the_graph_is_it() -> None:
    made = graph("float[N,3,H,W] y", "m = ReduceMean <axes = [0]> (image) y = Sub (image, m)")
    one, three = compared(lambda x: x - x.mean(0, keepdim=True), made)
    assert one.agrees
    assert "depends on the others of its batch" in three.failure


def test_rows_that_are_not_one_an_image_are_found_out() -> None:
    made = graph("float[M,4] y", "s = Constant <value_ints = [-1, 4]> () y = Reshape (image, s)")
    one, _ = compare(Lambda(lambda x: x.reshape(-1, 4)), made, [(1, 4, 6), (1, 8, 8)], 3)
    assert "(18, 4) for one image" in one.failure


def test_a_size_that_only_the_graph_takes_is_no_agreement() -> None:
    def even(x: Tensor) -> Tensor:
        if x.shape[2] % 2:
            raise ValueError("odd")
        return 2 * x

    made = graph("float[N,3,H,W] double", "double = Add (image, image)")
    assert [c.failure for c in compared(even, made)] == ["", "the model does not take it: odd"]


def test_a_size_that_the_graph_does_not_take_says_it_in_the_runtimes_words() -> None:
    made = graph(
        "float[N,3,H,W] y", "t = Transpose <perm = [0, 1, 3, 2]> (image) y = Add (image, t)"
    )
    (one, square) = compared(lambda x: x, made)
    assert "Add" in one.failure
    assert not square.failure
