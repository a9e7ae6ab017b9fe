"""`anyres evaluate` on tiny networks: numpy on what ONNX Runtime says, and tiles on the whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from numpy.typing import NDArray
from PIL import ExifTags, Image
from tests.exporter.labelled import Data, answer, network, spread

from anyres_exporter.card.compose import Told
from anyres_exporter.card.stamp import stamp
from anyres_exporter.evaluate.errors import CannotEvaluate, DoesNotFit
from anyres_exporter.evaluate.evaluation import evaluate
from anyres_exporter.evaluate.metrics import scores
from anyres_exporter.evaluate.report import Regression, Report
from anyres_exporter.evaluate.route import Tiling
from anyres_proto.card import Card


@pytest.fixture
def data(tmp_path: Path) -> Data:
    return Data(tmp_path)


def counts(report: Report) -> list[list[int]]:
    found: list[list[int]] = report.result.counts.tolist()  # type: ignore[union-attr]
    return found


def expected(labels: NDArray[Any], found: NDArray[Any], classes: int = 3) -> list[list[int]]:
    return [
        [int(((labels == i) & (found == j)).sum()) for j in range(classes)] for i in range(classes)
    ]


def test_a_network_that_is_right_everywhere_scores_one(data: Data, tmp_path: Path) -> None:
    for name, size in (("a", (7, 11)), ("b", (12, 5))):
        data.label(name, data.picture(name, *size).argmax(axis=2))
    report = evaluate(network(tmp_path, "brightest"), data.request())
    found = scores(np.array(counts(report)))
    assert found.pixel_accuracy == found.mean_iu == found.frequency_weighted_iu == 1.0
    assert (report.coverage.pictures, report.coverage.compared) == (2, 77 + 60)


def test_scores_are_compared_pixel_by_pixel_and_void_is_left_out(
    data: Data, tmp_path: Path
) -> None:
    model = network(tmp_path, "unet")
    total = np.zeros((3, 3), int)
    for name, size in (("a", (8, 12)), ("b", (30, 16))):
        pixels, labels = data.random(name, *size)
        total += np.array(expected(labels, answer(model, pixels).argmax(axis=0)))
    report = evaluate(model, data.request())
    assert counts(report) == total.tolist()
    assert report.coverage.ignored == 6 + 8


def test_coarse_scores_are_interpolated_before_the_best_is_taken(
    data: Data, tmp_path: Path
) -> None:
    model = network(tmp_path, "stride4")
    pixels, labels = data.random("a", 21, 34)
    found = spread(answer(model, pixels), 4, (21, 34)).argmax(axis=0)
    assert counts(evaluate(model, data.request())) == expected(labels, found)


def test_a_class_map_answers_by_its_nearest_cell(data: Data, tmp_path: Path) -> None:
    model = network(tmp_path, "stride4_map")
    pixels, labels = data.random("a", 21, 34)
    grid = answer(model, pixels)
    rows, columns = (
        np.minimum((np.arange(size) + 2) // 4, cells - 1)
        for size, cells in zip((21, 34), grid.shape, strict=True)
    )
    assert counts(evaluate(model, data.request())) == expected(labels, grid[rows][:, columns])


def test_pixels_without_an_answer_are_counted_apart(data: Data, tmp_path: Path) -> None:
    model = network(tmp_path, "unpadded")
    pixels, labels = data.random("a", 20, 30)
    found = answer(model, pixels).argmax(axis=0)
    report = evaluate(model, data.request())
    assert counts(report) == expected(labels[2:-2, 3:-3], found)
    assert report.coverage.unanswered == (labels != 255).sum() - (labels[2:-2, 3:-3] != 255).sum()


def test_one_channel_tells_two_classes_apart_at_one_half(data: Data, tmp_path: Path) -> None:
    model = network(tmp_path, "binary", meaning="logits")
    pixels = data.picture("a", 9, 9)
    labels = data.label("a", np.random.default_rng(0).integers(0, 2, (9, 9)))
    report = evaluate(model, data.request())
    assert report.names == ("background", "foreground")
    assert counts(report) == expected(labels, answer(model, pixels)[0] > 0, 2)


@pytest.mark.parametrize("name", ["unet", "stride4", "stride4_map", "unpadded"])
@pytest.mark.parametrize("size", [(96, 134), (38, 222), (130, 40)])
def test_tiles_equal_the_whole(
    name: str, size: tuple[int, int], data: Data, tmp_path: Path
) -> None:
    model = network(tmp_path, name)
    data.random("a", *size)
    whole = evaluate(model, data.request(tiling=Tiling.parse("never")))
    tiled = evaluate(model, data.request(tiling=Tiling.parse("32x28")))
    assert (whole.coverage.tiled, tiled.coverage.tiled) == (0, 1)
    assert counts(tiled) == counts(whole)
    assert tiled.coverage.compared == whole.coverage.compared
    assert tiled.coverage.unanswered == whole.coverage.unanswered


@pytest.mark.parametrize("name", ["unet", "stride4"])
def test_a_picture_is_cut_where_memory_asks_for_it(name: str, data: Data, tmp_path: Path) -> None:
    model = network(tmp_path, name)
    data.random("large", 200, 320)
    data.random("small", 16, 16)
    whole = evaluate(model, data.request())
    tiled = evaluate(model, data.request(budget_bytes=2_400_000))
    assert (whole.coverage.tiled, tiled.coverage.tiled) == (0, 1)
    assert counts(tiled) == counts(whole)


def test_what_fits_in_no_way_is_refused_with_its_need(data: Data, tmp_path: Path) -> None:
    data.random("a", 200, 320)
    with pytest.raises(DoesNotFit, match=r"a\.png: 320x200 needs about \d+ MiB .* not be exact"):
        evaluate(network(tmp_path, "squeezed"), data.request(budget_bytes=1_000_000))
    with pytest.raises(DoesNotFit, match="smallest exact tile needs too much"):
        evaluate(network(tmp_path, "unet"), data.request(budget_bytes=600_000))
    with pytest.raises(CannotEvaluate, match="tiles would not be exact"):
        evaluate(tmp_path / "squeezed.onnx", data.request(tiling=Tiling.parse("64x64")))
    with pytest.raises(CannotEvaluate, match=r"for a picture of 320x200 they are at least"):
        evaluate(tmp_path / "unet.onnx", data.request(tiling=Tiling.parse("4x4")))


def test_numbers_are_compared_as_interpolated_whole_or_in_tiles(data: Data, tmp_path: Path) -> None:
    model = network(tmp_path, "depth")
    pixels = data.picture("a", 61, 90)
    labels = np.random.default_rng(0).standard_normal((61, 90)).astype(np.float32)
    labels[3, 4] = np.nan
    np.save(data.labels / "a.npy", labels)
    errors = spread(answer(model, pixels), 4, (61, 90))[0] - labels
    known = labels[np.isfinite(labels)].astype(float)
    for tile in ("never", "40x32"):
        report = evaluate(model, data.request(tiling=Tiling.parse(tile)))
        assert isinstance(report.result, Regression)
        (found,) = report.result.channels
        assert found.worst is not None
        assert found.count == 61 * 90 - 1
        assert found.mae == pytest.approx(np.nanmean(np.abs(errors)), rel=1e-5)
        assert found.rmse == pytest.approx(np.sqrt(np.nanmean(errors**2)), rel=1e-5)
        unexplained = np.nansum(errors**2) / ((known - known.mean()) ** 2).sum()
        assert found.r2 == pytest.approx(1 - unexplained, rel=1e-5)
        y, x = divmod(int(np.nanargmax(np.abs(errors))), 90)
        assert (found.worst.picture, found.worst.pixel) == ("a.png", (x, y))


def test_other_numbers_can_be_ignored(data: Data, tmp_path: Path) -> None:
    labels = np.zeros((8, 8))
    labels[0] = 9
    data.picture("a", 8, 8)
    data.label("a", labels)
    model = network(tmp_path, "unet")
    report = evaluate(model, data.request(ignored=frozenset({9})))
    assert (report.coverage.compared, report.coverage.ignored) == (56, 8)
    assert report.result.scores.absent == (1, 2)  # type: ignore[union-attr]


def test_a_turned_picture_is_compared_upright(data: Data, tmp_path: Path) -> None:
    pixels = data.picture("a", 6, 10)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.fromarray(pixels).save(data.images / "a.png", exif=exif)
    data.label("a", np.rot90(pixels, -1).argmax(axis=2))
    report = evaluate(network(tmp_path, "brightest"), data.request())
    assert report.result.scores.pixel_accuracy == 1.0  # type: ignore[union-attr]


def test_an_answer_that_is_no_number_is_refused(data: Data, tmp_path: Path) -> None:
    path = network(tmp_path, "unet")
    model = onnx.load(path)
    weight = onnx.numpy_helper.to_array(model.graph.initializer[0]) * np.nan
    model.graph.initializer[0].CopyFrom(
        onnx.numpy_helper.from_array(weight.astype(np.float32), "w1")
    )
    path.write_bytes(model.SerializeToString())
    data.random("a", 8, 8)
    with pytest.raises(DoesNotFit, match=r"a\.png: .*NaN"):
        evaluate(path, data.request())


@pytest.mark.parametrize("tile", ["0x4", "sometimes", "4", "4x"])
def test_a_tile_that_is_none_is_refused(tile: str) -> None:
    with pytest.raises(CannotEvaluate, match="--tile is auto, never or"):
        Tiling.parse(tile)


def test_the_stamped_cards_are_what_the_tests_think(tmp_path: Path) -> None:
    """The oracles above take centres 0, 4, 8, ...; (2, 3) pixels are cut off at each border."""
    outputs = {}
    for name in ("stride4", "unpadded", "stride4_map"):
        path = network(tmp_path, name)
        (entry,) = onnx.load(path).metadata_props
        outputs[name] = Card.model_validate_json(entry.value).output
    assert [*outputs["stride4"].stride, *outputs["stride4"].offset] == [4, 4, 0, 0]
    assert list(outputs["unpadded"].offset) == [2, 3]
    assert outputs["stride4_map"].layout == "NHW"


@pytest.mark.parametrize("tile", ["never", "16x16"])
def test_a_graph_of_bytes_that_answers_classes_needs_no_scaling(
    tile: str, data: Data, tmp_path: Path
) -> None:
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 17]>
        net (uint8[N,H,W,3] image) => (int64[N,H,W] classes)
        { f = Cast <to=1> (image)
          t = Transpose <perm=[0,3,1,2]> (f)
          classes = ArgMax <axis=1, keepdims=0> (t) }"""
    )
    path = tmp_path / "bytes.onnx"
    path.write_bytes(model.SerializeToString())
    stamp(path, Told(name="bytes", task="segmentation"), bioimageio=False, force=False)
    data.label("a", data.picture("a", 31, 45).argmax(axis=2))
    report = evaluate(path, data.request(tiling=Tiling.parse(tile)))
    assert np.trace(np.array(counts(report))) == report.coverage.compared == 31 * 45
