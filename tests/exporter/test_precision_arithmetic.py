"""8 bits by hand: ranges, thresholds and one convolution, and how answers are compared."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from tests.exporter.precision_nets import network, random_weights, save_scenes

from anyres_exporter.errors import BadPicture
from anyres_exporter.pictures import decoded, prepared
from anyres_exporter.precision.agreement import measured
from anyres_exporter.precision.halves import Half, halves, largest
from anyres_exporter.precision.ranges import BINS, STRIDE, ranges, threshold
from anyres_exporter.precision.request import Asked
from anyres_exporter.precision.rescue import fewest
from anyres_exporter.precision.variant import faster
from anyres_exporter.runtime import Runtime, first
from anyres_proto.card import AxisContract, Card, ImageInput, Output, SizeContract

Array = NDArray[Any]
FREE = AxisContract(verdict="free", minimum=1, reason="")
ANY = SizeContract(height=FREE, width=FREE)


def images(folder: Path, start: int) -> list[Array]:
    paths = sorted(folder.iterdir())[start::2]
    return [prepared(decoded(path, ImageInput()), ImageInput()) for path in paths]


def eight_bits(values: Array, low: float, high: float) -> tuple[Array, np.float32, int]:
    """Whole steps from 0 to 255 above `low`, the width of one, and which one is 0."""
    step = np.float32((np.float32(high) - np.float32(low)) / np.float32(255))
    zero = round(-float(low) / float(step))
    return np.clip(np.rint(values / step) + zero, 0, 255).astype(np.int64), step, zero


def test_a_convolution_in_8_bits_is_the_one_by_hand(tmp_path: Path) -> None:
    scenes = save_scenes(tmp_path / "pictures")
    weights = random_weights({"w": (5, 3, 3, 3), "b": (5,)})
    weights["w"] *= np.array([0.01, 0.1, 1, 10, 100], "f").reshape(5, 1, 1, 1)  # a scale each
    model = tmp_path / "one.onnx"
    onnx.save(network("features = Conv (image, w, b)", weights), model)
    made = faster(model, Asked("int8", scenes, min_agreement=0, side=16), tmp_path)
    answers = [first(Runtime(model)(image)) for image in images(scenes, 0)]
    brightest = max(image.max() for image in images(scenes, 0))
    low = min(0.0, *(float(a.min()) for a in answers))
    high = max(0.0, *(float(a.max()) for a in answers))
    steps = np.abs(weights["w"]).max(axis=(1, 2, 3)) / np.float32(127)
    w = np.rint(weights["w"] / steps.reshape(5, 1, 1, 1)).astype(np.int64)
    for image in images(scenes, 1):
        x, x_step, zero = eight_bits(image, 0.0, float(brightest))
        assert zero == 0
        windows = np.lib.stride_tricks.sliding_window_view(x[0], (3, 3), axis=(1, 2))
        sums = np.einsum("chwij,ocij->ohw", windows, w)
        scale = (x_step * steps).reshape(5, 1, 1)
        bias = np.rint(weights["b"].reshape(5, 1, 1) / scale)
        y, y_step, y_zero = eight_bits((sums + bias) * scale, low, high)
        by_hand = (y - y_zero) * y_step
        error = np.abs(first(Runtime(made.path)(image))[0] - by_hand) / y_step
        assert error.max() < 1.01  # a step, where a sum lies between two
        assert (error < 0.01).mean() > 0.999


def test_minmax_finds_the_extremes_of_all_pictures_and_zero(tmp_path: Path) -> None:
    scenes = save_scenes(tmp_path / "pictures")
    graph = network("a = Conv (image, w) features = Relu (a)", random_weights({"w": (4, 3, 3, 3)}))
    some = images(scenes, 0)
    found = ranges(graph, ["image", "a", "features"], some, "minmax")
    answers = [first(Runtime(graph)(image)) for image in some]
    assert found["image"] == (0, max(image.max() for image in some))
    assert found["features"] == (0, max(answer.max() for answer in answers))
    assert found["a"][0] < 0
    assert found["a"][1] == found["features"][1]


def plain_divergence(counts: Array, bins: int, steps: int) -> float:
    """As the slides have it, one bin at a time."""
    shares = list(counts[:bins])
    shares[-1] += sum(counts[bins:])
    coarse = [0.0] * bins
    for step in range(steps):
        inside = range(step * bins // steps, (step + 1) * bins // steps)
        filled = [i for i in inside if counts[i] > 0]
        for i in filled:
            coarse[i] = sum(counts[j] for j in inside) / len(filled)
    p, q = (
        [max(value / (sum(values) or 1), 1e-4 / bins) for value in values]
        for values in (shares, coarse)
    )
    return float(
        sum(a / sum(p) * np.log((a / sum(p)) / (b / sum(q))) for a, b in zip(p, q, strict=True))
    )


def test_the_threshold_of_least_divergence_is_that_of_the_plain_loops() -> None:
    rng = np.random.default_rng(3)
    values = np.abs(np.concatenate([rng.normal(0, 1, 4000), rng.normal(0, 4, 12)]))
    counts = np.histogram(values, 64)[0]
    smooth = counts.astype(np.float64)
    smooth[0] = smooth[1]
    tried = range(16, 65, STRIDE)
    best = min(tried, key=lambda bins: plain_divergence(smooth, bins, 16))
    assert threshold(counts, 16) == best
    assert 16 < best < 64  # the dozen far out are given up, and no more
    counts[0] = 10**7  # zeros of an activation, which are held exactly anyway
    assert threshold(counts, 16) == best


def test_entropy_cuts_off_what_is_rare_and_keeps_what_is_even(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    graph = network("features = Identity (image)", {})
    even = rng.uniform(0, 1, (1, 3, 64, 64)).astype("f")
    rare = even.copy()
    rare[0, 0, 0, 0] = 50
    assert ranges(graph, ["features"], [even], "entropy")["features"][1] > 0.9
    assert ranges(graph, ["features"], [rare], "minmax")["features"][1] == 50
    low, high = ranges(graph, ["features"], [rare], "entropy")["features"]
    assert low == 0
    assert high < 50 * 300 / BINS


def test_halves_are_by_turns_in_the_order_of_names(tmp_path: Path) -> None:
    for name in ("b.png", "a.png", "d.png", "c.png", "e.png"):
        Image.new("RGB", (9, 8)).save(tmp_path / name)
    calibration, held_out = halves(tmp_path, card())
    assert [path.name for path in calibration.paths] == ["a.png", "c.png", "e.png"]
    assert [path.name for path in held_out.paths] == ["b.png", "d.png"]


def card() -> Card:
    logits = Output(channels=2, dense=True)
    return Card(name="net", task="unknown", outputs=(logits,), sizes=ANY)


def test_pictures_are_decoded_one_at_a_time_and_again_on_each_pass(tmp_path: Path) -> None:
    Image.new("RGB", (9, 8), "red").save(tmp_path / "0.png")
    (tmp_path / "1.png").write_bytes(b"no picture")
    half = Half((tmp_path / "0.png", tmp_path / "1.png"), ImageInput(), ANY)
    for _ in range(2):
        one: Iterator[Array] = iter(half)
        assert next(one).shape == (1, 3, 8, 9)
        with pytest.raises(BadPicture, match=r"1\.png"):
            next(one)


def test_a_large_picture_gives_its_middle(tmp_path: Path) -> None:
    pixels = np.zeros((40, 70, 3), np.uint8)
    pixels[12:28, 27:43] = 255
    Image.fromarray(pixels).save(tmp_path / "0.png")
    by_16 = FREE.model_copy(update={"minimum": 16, "step": 16})
    half = Half((tmp_path / "0.png",), ImageInput(), SizeContract(height=by_16, width=by_16), 20)
    (image,) = half
    assert image.shape == (1, 3, 16, 16)
    assert image.min() == 1


@given(st.integers(1, 40), st.integers(1, 9), st.integers(0, 30) | st.none(), st.integers(0, 90))
def test_the_largest_size_is_admissible_and_no_larger_one_is(
    minimum: int, step: int, room: int | None, pixels: int
) -> None:
    maximum = None if room is None else minimum + room
    axis = AxisContract(verdict="stepped", minimum=minimum, step=step, maximum=maximum, reason="")
    taken = [size for size in range(pixels + 1) if size and axis.admits(size)]
    assert largest(axis, pixels) == (taken[-1] if taken else None)


def test_agreement_and_mean_iou_are_those_of_the_confusion_matrix() -> None:
    rng = np.random.default_rng(0)
    sizes = [(1, 5, 9, 7), (1, 5, 4, 11)]
    right = [rng.standard_normal(size).astype("f") for size in sizes]
    wrong = [x + rng.normal(0, 0.8, x.shape).astype("f") for x in right]
    matrix = np.zeros((5, 5))
    for x, y in zip(right, wrong, strict=True):
        np.add.at(matrix, (x.argmax(1).ravel(), y.argmax(1).ravel()), 1)
    overlap = np.diag(matrix) / (matrix.sum(0) + matrix.sum(1) - np.diag(matrix))
    found = compared(right, wrong, Output(channels=5, dense=True))
    errors = np.concatenate([np.abs(x - y).ravel() for x, y in zip(right, wrong, strict=True)])
    assert found.agreement == pytest.approx(np.trace(matrix) / matrix.sum())
    assert found.mean_iou == pytest.approx(overlap.mean())
    assert found.max_abs_error == pytest.approx(errors.max(), rel=1e-6)
    assert found.mean_abs_error == pytest.approx(errors.mean(), rel=1e-6)


def compared(right: list[Array], wrong: list[Array], output: Output) -> Any:
    """Two models that know their answers by the number of the picture."""
    numbers = [np.array([i]) for i in range(len(right))]
    return measured(
        lambda i: {output.name: right[i[0]]},
        lambda i: {output.name: wrong[i[0]]},
        numbers,
        (output,),
    )


@pytest.mark.parametrize(
    ("output", "right", "wrong", "agreement"),
    [
        ({"channels": 1}, [[[-1.0, 2.0, 3.0, -4.0]]], [[[-9.0, -2.0, 1.0, -1.0]]], 0.75),
        ({"channels": 1, "meaning": "probabilities"}, [[[0.4, 0.6]]], [[[0.45, 0.4]]], 0.5),
        (
            {"channels": 2, "layout": "NHWC"},
            [[1.0, 2.0], [2.0, 1.0]],
            [[1.0, 2.0], [1.0, 3.0]],
            0.5,
        ),
        ({"channels": 1, "meaning": "mask"}, [[1, 0, 1, 1]], [[1, 0, 0, 0]], 0.5),
        ({"channels": 1, "meaning": "class_map"}, [[3, 7, 7, 1]], [[3, 7, 7, 0]], 0.75),
        ({"channels": 2, "meaning": "values"}, [[0.0, 100.0, 50.0]], [[1.9, 97.9, 51.0]], 2 / 3),
        ({"channels": 2, "meaning": "top_k_classes"}, [[4, 2]], [[4, 3]], 1.0),
        ({"channels": 2}, [[1.0, 2.0]], [[1.0, np.nan]], 0.0),
    ],
)
def test_every_meaning_is_compared_as_a_client_reads_it(
    output: dict[str, Any], right: list[Any], wrong: list[Any], agreement: float
) -> None:
    told = Output.model_validate({"dense": len(np.shape(right)) > 2} | output)
    found = compared([np.array(right)], [np.array(wrong)], told)
    assert found.agreement == pytest.approx(agreement)


@given(st.integers(1, 30), st.integers(1, 40), st.integers(1, 40))
def test_the_fewest_layers_are_kept_that_satisfy_both_halves(
    layers: int, enough: int, held_out: int
) -> None:
    worst_first = tuple(map(str, range(layers)))
    limit = (layers + 1) // 2
    kept = fewest(worst_first, lambda k: len(k) >= enough, lambda k: len(k) >= held_out)
    assert kept == worst_first[: len(kept)]
    if enough >= held_out:
        assert len(kept) == min(enough, limit)
    else:
        assert min(held_out, limit) <= len(kept) <= limit
