"""Two models side by side, against sums written out by hand and a published ratio."""

from __future__ import annotations

import json
from fractions import Fraction
from math import prod
from pathlib import Path

import onnx
import onnx.parser
import pytest

from anyres_analyzer import analyze
from anyres_analyzer.published.alexnet import caffe_alexnet
from anyres_analyzer.report.comparison import Crops, compare
from anyres_client.main import main

TRUNK = "a = Conv <strides=[2,2]> (x, k3)\nb = Relu (a)\n"
HEAD = f"{TRUNK}c = Flatten (b)\ny = Gemm (c, fc)"
DENSE = f"{TRUNK}y = Conv (b, k5)"
# One answer for images of one width and any height.
TALL = f"""{TRUNK}axes = Constant <value = int64[1] {{2}}> ()
c = ReduceMax <keepdims=0> (b, axes)
d = Flatten (c)
y = Gemm (d, row)"""
WEIGHTS = {
    "row": (60, 2),
    "k3": (4, 3, 3, 3),
    "fc": (100, 2),
    "k5": (2, 4, 5, 5),
    "half": (2, 3, 2, 2),
}
# What one 11x11 crop costs: a 5x5 map of the trunk, then a layer over all of it.
CROP = 25 * 4 * 27 + 100 * 2


def saved(path: Path, body: str, image: str = "n,3,h,w") -> str:
    weights = ", ".join(
        f"float[{','.join(map(str, shape))}] {name} = {{{','.join('1' * prod(shape))}}}"
        for name, shape in WEIGHTS.items()
        if f" {name})" in body
    )
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 18]> net (float[{image}] x) => (float y) '
        f"<{weights}> {{ {body} }}"
    )
    onnx.save(model, path)
    return str(path)


@pytest.fixture
def fc(tmp_path: Path) -> str:
    return saved(tmp_path / "fc.onnx", HEAD, "n,3,11,11")


@pytest.fixture
def fcn(tmp_path: Path) -> str:
    return saved(tmp_path / "fcn.onnx", DENSE)


def compared(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    assert main(["compare", *arguments, "--json"]) == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.parametrize("swapped", [False, True])
def test_crops_cost_one_pass_each(
    swapped: bool, fc: str, fcn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    models = (fcn, fc) if swapped else (fc, fcn)
    found = compared(capsys, *models, "--sizes", "11x11", "--sizes", "31x21")
    dense = 15 * 10 * 4 * 27 + 11 * 6 * 2 * 4 * 25
    assert found["sizes"] == [[11, 11], [31, 21]]
    assert found["patchwise"] == {
        "by_crops": "fc.onnx",
        "in_one_pass": "fcn.onnx",
        "at": [
            {
                "size": [11, 11],
                "grid": [1, 1],
                "every": ["2", "2"],
                "crop": [11, 11],
                "crops": 1,
                "macs": CROP,
                "dense_macs": CROP,
                "ratio": 1.0,
            },
            {
                "size": [31, 21],
                "grid": [11, 6],
                "every": ["2", "2"],
                "crop": [11, 11],
                "crops": 66,
                "macs": 66 * CROP,
                "dense_macs": dense,
                "ratio": 66 * CROP / dense,
            },
        ],
        "does_not_apply": None,
    }


def test_alexnet_on_crops_costs_7_77_times_one_dense_pass_over_500x500() -> None:
    """Long et al. (2015): 227x227 crops for a 10x10 grid of answers."""
    fc, fcn = (analyze(caffe_alexnet(dense=dense).model()) for dense in (False, True))
    patchwise = compare(("fc", fc), ("fcn", fcn), [(227, 227), (500, 500)]).patchwise
    assert patchwise.at[-1] == Crops(
        size=(500, 500),
        grid=(10, 10),
        every=(Fraction(32), Fraction(32)),
        crop=(227, 227),
        crops=100,
        macs=100 * 724_406_816,
        dense_macs=9_324_092_192,
        ratio=100 * 724_406_816 / 9_324_092_192,
    )
    assert patchwise.at[-1].ratio == pytest.approx(7.77, abs=0.005)


def test_crops_lie_as_far_apart_as_the_map_is_coarse_along_each_axis(
    tmp_path: Path, fc: str, capsys: pytest.CaptureFixture[str]
) -> None:
    flat = saved(tmp_path / "flat.onnx", "y = Conv <strides=[2,1]> (x, half)")
    assert main(["compare", fc, flat, "--sizes", "31x21"]) == 0
    assert "one every 1 x 2 px" in capsys.readouterr().out


def test_each_size_says_how_much_more_the_second_costs(
    tmp_path: Path, fcn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    half = saved(tmp_path / "half.onnx", "y = Conv (x, half)")
    assert main(["compare", fcn, half, *["--sizes", "11x11"] * 2]) == 0
    said = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    macs = 100 * 2 * 12
    row = f"11 x 11 1 x 1 2,900 0.0 MiB 10 x 10 {macs:,} 0.0 MiB {macs / CROP:.2f}"
    assert said.count(row) == 1


def test_crops_are_of_the_first_size_asked_for_that_is_taken(
    tmp_path: Path, fcn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An open input: 11 and 12 pixels both give a map of 5x5, which the head was made for."""
    open_fc = saved(tmp_path / "open.onnx", HEAD)
    for asked, crop in ((("31x31", "12x12", "11x11"), [12, 12]), (("31x31",), [11, 11])):
        sizes = [word for size in asked for word in ("--sizes", size)]
        patchwise = compared(capsys, open_fc, fcn, *sizes)["patchwise"]
        assert isinstance(patchwise, dict)
        assert patchwise["at"][0]["crop"] == crop


def test_every_side_of_both_is_shown_in_a_hundred_columns(
    fc: str, fcn: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "180")
    assert main(["compare", fc, fcn, "--sizes", "11x11", "--sizes", "31x21"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    said = [" ".join(line.split()) for line in lines]
    dense = 15 * 10 * 4 * 27 + 11 * 6 * 2 * 4 * 25
    for line in (
        "A fc.onnx B fcn.onnx",
        "width and height fixed 11 free at least 11",
        "receptive field the whole image, or unknown 11 px",
        "stride the whole image, or unknown 2 px",
        "k x k convolution 108 35.1% 308 100.0%",
        "fc over space 200 64.9% - -",
        "total 308 308",
        "11 x 11 1 answer 2,900 0.0 MiB 1 x 1 2,900 0.0 MiB 1.00",
        f"31 x 21 not taken - - 11 x 6 {dense:,} 0.0 MiB -",
        "fc.onnx on crops of 11 x 11, one every 2 px, against one pass of fcn.onnx.",
        f"31 x 21 11 x 6 66 {66 * CROP:,} {dense:,} {66 * CROP / dense:.2f}",
    ):
        assert line in said


def test_the_node_that_decides_stands_with_the_sizes(
    fc: str, fcn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = compared(capsys, fc, fcn)
    first, second = found["first"], found["second"]
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    assert (first["width"], second["width"]) == ("11", "at least 11")
    assert "(Gemm)" in first["report"]["width"]["node"]
    assert "(Conv)" in second["report"]["height"]["node"]


def test_axes_that_differ_have_a_row_each(
    tmp_path: Path, fcn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    wide = saved(tmp_path / "wide.onnx", "y = Conv (x, half)", "n,3,h,64")
    assert main(["compare", wide, fcn]) == 0
    said = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "width fixed 64 free at least 11" in said
    assert "height free at least 2 free at least 11" in said


@pytest.mark.parametrize(
    ("bodies", "sizes", "why"),
    [
        ((DENSE, TRUNK + "y = Relu (b)"), "31x31", "both give a map of the whole image"),
        ((HEAD, HEAD), "11x11", "both give one answer for the whole image"),
        ((f"{TRUNK}y = GlobalMaxPool (b)", HEAD), "11x11", "both give one answer"),
        ((f"{TRUNK}c = GlobalMaxPool (b)\ny = Flatten (c)", DENSE), "31x31", "0.onnx takes larger"),
        ((TALL, DENSE), "31x31", "0.onnx takes larger images whole"),
        ((HEAD, DENSE), "5x5", "1.onnx takes none of these sizes"),
    ],
)
def test_where_nothing_is_cropped_it_says_why(
    bodies: tuple[str, str],
    sizes: str,
    why: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    models = [saved(tmp_path / f"{i}.onnx", body) for i, body in enumerate(bodies)]
    assert main(["compare", *models, "--sizes", sizes]) == 0
    assert f"Does not apply: {why}" in capsys.readouterr().out


def test_a_map_that_multiplies_nothing_has_no_ratio(
    tmp_path: Path, fc: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pool = saved(tmp_path / "pool.onnx", "y = MaxPool <kernel_shape=[2,2]> (x)")
    patchwise = compared(capsys, fc, pool, "--sizes", "31x31")["patchwise"]
    assert isinstance(patchwise, dict)
    assert (patchwise["at"][0]["macs"], patchwise["at"][0]["ratio"]) == (900 * CROP, None)


def test_sizes_are_by_default_those_that_each_takes(
    fc: str, fcn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compared(capsys, fc, fcn)["sizes"] == [[11, 11], [224, 224], [512, 512]]


def test_a_wrong_call_gets_one_line(fc: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", fc, fc, "--sizes", "11"]) == 2
    assert main(["compare", fc, "/nowhere.onnx"]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first == "anyres compare: --sizes is WIDTHxHEIGHT in pixels, like 451x300; got '11'"
    assert "/nowhere.onnx: No such file" in second
