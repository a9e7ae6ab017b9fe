"""`anyres evaluate` on tiny networks: numpy on what ONNX Runtime says, and tiles on the whole."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import onnx.parser
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from PIL import ExifTags, Image

from anyres_client.main import main
from anyres_exporter.card.compose import Told
from anyres_exporter.card.stamp import stamp
from anyres_exporter.evaluate.errors import CannotEvaluate, DoesNotFit
from anyres_exporter.evaluate.evaluation import Request, evaluate
from anyres_exporter.evaluate.metrics import scores
from anyres_exporter.evaluate.report import Regression, Report
from anyres_exporter.evaluate.route import Tiling
from anyres_proto.card import METADATA_KEY, Card, ClassName

Task = Literal["segmentation", "classification", "regression"]
THREE = tuple(map(ClassName.model_validate, ({"name": "red"}, {"name": "green"}, {"name": "blue"})))
UNET = """a = Conv <kernel_shape=[3,3], pads=[1,1,1,1]> (image, w1)
    d = Conv <kernel_shape=[2,2], strides=[2,2]> (a, w2)
    u = ConvTranspose <kernel_shape=[2,2], strides=[2,2]> (d, w3)
    c = Concat <axis=1> (a, u)
    scores = Conv <kernel_shape=[3,3], pads=[1,1,1,1]> (c, w4)"""
STRIDE4 = """a = Conv <kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]> (image, w1)
    r = Relu (a)
    scores = Conv <kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]> (r, w2)"""
# name -> (outputs, nodes, the shapes of their weights, the task)
NETWORKS: dict[str, tuple[str, str, dict[str, tuple[int, ...]], Task]] = {
    "brightest": ("float[N,3,H,W] scores", "scores = Identity (image)", {}, "segmentation"),
    "unet": (
        "float[N,3,P,Q] scores",
        UNET,
        {"w1": (4, 3, 3, 3), "w2": (6, 4, 2, 2), "w3": (6, 4, 2, 2), "w4": (3, 8, 3, 3)},
        "segmentation",
    ),
    "stride4": (
        "float[N,3,P,Q] scores",
        STRIDE4,
        {"w1": (4, 3, 3, 3), "w2": (3, 4, 3, 3)},
        "segmentation",
    ),
    "stride4_map": (
        "int64[N,P,Q] classes",
        STRIDE4 + "\nclasses = ArgMax <axis=1, keepdims=0> (scores)",
        {"w1": (4, 3, 3, 3), "w2": (3, 4, 3, 3)},
        "segmentation",
    ),
    "unpadded": (
        "float[N,3,P,Q] scores",
        "scores = Conv <kernel_shape=[5,7]> (image, w1)",
        {"w1": (3, 3, 5, 7)},
        "segmentation",
    ),
    "binary": (
        "float[N,1,P,Q] scores",
        "scores = Conv <kernel_shape=[1,1]> (image, w1)",
        {"w1": (1, 3, 1, 1)},
        "segmentation",
    ),
    "squeezed": (
        "float[N,3,H,W] scores",
        "g = GlobalAveragePool (image)\nscores = Sub (image, g)",
        {},
        "segmentation",
    ),
    "depth": (
        "float[N,1,P,Q] metres",
        STRIDE4.replace("scores", "metres"),
        {"w1": (4, 3, 3, 3), "w2": (1, 4, 3, 3)},
        "regression",
    ),
    "head": (
        "float[N,3] scores",
        "g = GlobalAveragePool (image)\nscores = Flatten (g)",
        {},
        "classification",
    ),
    "fixed": (
        "float[N,3] scores",
        "f = Flatten (image)\nscores = Gemm (f, w1)",
        {"w1": (3 * 6 * 8, 3)},
        "classification",
    ),
}


def network(folder: Path, name: str, **told: Any) -> Path:
    """Written, with seeded weights and a card derived from its graph."""
    outputs, nodes, weights, task = NETWORKS[name]
    image = "float[N,3,6,8] image" if name == "fixed" else "float[N,3,H,W] image"
    model = onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["" : 17]>
        net ({image}) => ({outputs}) {{ {nodes} }}"""
    )
    random = np.random.default_rng(3)
    for weight, shape in weights.items():
        values = random.standard_normal(shape) / math.sqrt(math.prod(shape[1:]))
        model.graph.initializer.append(
            onnx.numpy_helper.from_array(values.astype(np.float32), weight)
        )
    path = folder / f"{name}.onnx"
    path.write_bytes(model.SerializeToString())
    known = {"classes": THREE} if "1," not in outputs and task != "regression" else {}
    usual = {"colour": "RGB", "scale": 1 / 255, "mean": (0.5,) * 3, "std": (0.5,) * 3}
    card = Told(name=name, task=task, **{**usual, **known, **told})
    if name == "stride4_map":
        stamp(path, replace(card, classes=()), bioimageio=False, force=False)
        say_classes(path)
    else:
        stamp(path, card, bioimageio=False, force=False)
    return path


def say_classes(path: Path) -> None:
    """A graph alone does not say how many classes there are."""
    model = onnx.load(path)
    card = Card.model_validate_json(model.metadata_props[0].value)
    output = card.output.model_copy(update={"meaning": "class_map", "classes": 3})
    named = card.model_copy(update={"outputs": (output,), "classes": THREE})
    onnx.helper.set_model_props(model, {METADATA_KEY: named.model_dump_json()})
    path.write_bytes(model.SerializeToString())


def answer(model: Path, pixels: NDArray[np.uint8]) -> NDArray[Any]:
    """What ONNX Runtime says of one picture, without us."""
    image = ((pixels / 255 - 0.5) / 0.5).astype(np.float32).transpose(2, 0, 1)[None]
    (found,) = ort.InferenceSession(model).run(None, {"image": image})
    return np.asarray(found[0])


class Data:
    """Pictures and labels in two folders."""

    def __init__(self, folder: Path) -> None:
        self.images, self.labels = folder / "images", folder / "labels"
        self.images.mkdir()
        self.labels.mkdir()

    def picture(self, name: str, height: int, width: int) -> NDArray[np.uint8]:
        seed = sum(map(ord, name)) + height
        pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
        Image.fromarray(pixels).save(self.images / f"{name}.png")
        return pixels

    def label(self, name: str, classes: NDArray[Any]) -> NDArray[Any]:
        Image.fromarray(classes.astype(np.uint8)).save(self.labels / f"{name}.png")
        return classes

    def random(self, name: str, height: int, width: int) -> tuple[NDArray[Any], NDArray[Any]]:
        classes = np.random.default_rng(height).integers(0, 3, (height, width))
        classes[0, : width // 2] = 255
        return self.picture(name, height, width), self.label(name, classes)

    def request(self, **options: Any) -> Request:
        return Request(self.images, self.labels, **options)


@pytest.fixture
def data(tmp_path: Path) -> Data:
    return Data(tmp_path)


@pytest.fixture
def anyres(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """`anyres(model, ...)`: exit code, stdout, stderr."""
    monkeypatch.setenv("COLUMNS", "120")

    def run(*words: object) -> tuple[int, str, str]:
        code = main(["evaluate", *map(str, words)])
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def counts(report: Report) -> list[list[int]]:
    found: list[list[int]] = report.result.counts.tolist()  # type: ignore[union-attr]
    return found


def expected(labels: NDArray[Any], found: NDArray[Any], classes: int = 3) -> list[list[int]]:
    return [
        [int(((labels == i) & (found == j)).sum()) for j in range(classes)] for i in range(classes)
    ]


def spread(scores: NDArray[Any], stride: int, size: tuple[int, int]) -> NDArray[Any]:
    """Interpolated linearly between centres 0, stride, 2 stride, ... by numpy."""
    for axis in (1, 2):
        centres = np.arange(scores.shape[axis]) * stride
        at = np.arange(size[axis - 1])
        scores = np.moveaxis(
            np.stack(
                [
                    [np.interp(at, centres, line) for line in plane]
                    for plane in np.moveaxis(scores, axis, -1)
                ]
            ),
            -1,
            axis,
        )
    return scores


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


def tinted(data: Data, name: str, channel: int) -> None:
    pixels = data.picture(name, 6, 8) // 4
    pixels[..., channel] += 150
    (data.images / name).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(data.images / f"{name}.png")


def test_a_table_of_classes_gives_top_1_accuracy(data: Data, tmp_path: Path) -> None:
    for name, channel in (("a", 0), ("b", 1), ("c", 2), ("d", 2)):
        tinted(data, name, channel)
    table = tmp_path / "classes.csv"
    table.write_text("image,class\na,red\nb.png,1\nc,blue\nd,green\n")
    report = evaluate(network(tmp_path, "head"), replace(data.request(), labels=table))
    assert counts(report) == [[1, 0, 0], [0, 1, 1], [0, 0, 1]]
    assert report.result.top1 == 0.75  # type: ignore[union-attr]
    assert report.result.top5 is None  # type: ignore[union-attr]


def test_folders_are_classes_and_a_map_of_scores_is_averaged(data: Data, tmp_path: Path) -> None:
    for folder, name, channel in (("red", "a", 0), ("2", "b", 2)):
        tinted(data, name, channel)
        (data.images / folder).mkdir()
        (data.images / f"{name}.png").rename(data.images / folder / f"{name}.png")
    model = network(tmp_path, "brightest")
    report = evaluate(model, Request(data.images, task="classification"))
    assert counts(report) == [[1, 0, 0], [0, 0, 0], [0, 0, 1]]


def test_top_5_counts_the_first_five(data: Data, tmp_path: Path) -> None:
    """Eight classes of falling scores: class 4 is the fifth, class 5 is not."""
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 17]>
        net (float[N,3,H,W] image) => (float[N,8] scores)
        { g = GlobalAveragePool (image)
          f = Flatten (g)
          scores = Gemm (f, w, b) }"""
    )
    for name, values in (("w", np.zeros((3, 8))), ("b", -np.arange(8.0))):
        model.graph.initializer.append(
            onnx.numpy_helper.from_array(values.astype(np.float32), name)
        )
    path = tmp_path / "falling.onnx"
    path.write_bytes(model.SerializeToString())
    stamp(path, Told(name="falling", task="classification"), bioimageio=False, force=False)
    for name in "abcd":
        data.picture(name, 5, 5)
    table = tmp_path / "classes.csv"
    table.write_text("a,0\nb,4\nc,5\nd,7\n")
    report = evaluate(path, replace(data.request(), labels=table))
    assert (report.result.top1, report.result.top5) == (0.25, 0.5)  # type: ignore[union-attr]


def test_json_the_table_and_the_files_say_the_same(data: Data, tmp_path: Path, anyres: Any) -> None:
    model = network(tmp_path, "stride4")
    data.random("a", 21, 34)
    words = model, "--images", data.images, "--labels", data.labels
    code, text, _ = anyres(*words, "--out", tmp_path / "out")
    assert code == 0
    code, told, _ = anyres(*words, "--json")
    numbers = json.loads(told)
    written = json.loads((tmp_path / "out/evaluation.json").read_text("utf-8"))
    for found in (numbers, written):
        assert found.pop("coverage")["compared"] == 21 * 34 - 17
    assert numbers == written
    shown = {"pixel accuracy": "pixel_accuracy", "mean IU": "mean_iu", "mean accuracy": None}
    for row, key in shown.items():
        assert f"{numbers[key or 'mean_accuracy'] * 100:.2f} %" in text.partition(row)[2][:40]
    assert f"{numbers['frequency_weighted_iu'] * 100:.2f} %" in text
    assert [one["name"] for one in numbers["classes"]] == ["red", "green", "blue"]
    assert np.array(numbers["confusion"]).sum() == 21 * 34 - 17
    with Image.open(tmp_path / "out/confusion.png") as picture:
        assert picture.mode == "RGB"


def unlabelled(data: Data) -> None:
    (data.labels / "a.png").unlink()


def misfit(data: Data) -> None:
    data.label("a", np.zeros((4, 4)))


def unknown(data: Data) -> None:
    data.label("a", np.full((8, 8), 3))


def odd_sized(data: Data) -> None:
    data.picture("a", 9, 8)
    data.label("a", np.zeros((9, 8)))


def broken(data: Data) -> None:
    (data.images / "a.png").write_bytes(b"x")


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (unlabelled, "images/a.png has no label in"),
        (misfit, "labels/a.png is 4x4; its picture is 8x8"),
        (unknown, "labels/a.png has class 3 in 64 pixels; the model knows 0 to 2"),
        (odd_sized, "images/a.png: 'unet' does not take 8x9; it takes a height of 2, 4, 6"),
        (odd_sized, "anyres export --any-size edge"),
        (broken, "images/a.png cannot be opened"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_file(
    spoil: Any, line: str, data: Data, tmp_path: Path, anyres: Any
) -> None:
    data.random("a", 8, 8)
    spoil(data)
    model = network(tmp_path, "unet")
    code, out, told = anyres(model, "--images", data.images, "--labels", data.labels)
    assert (code, out) == (2, "")
    assert line in told
    assert told.count("\n") == 1


def test_a_head_of_fixed_size_says_what_would_free_it(
    data: Data, tmp_path: Path, anyres: Any
) -> None:
    data.picture("a", 8, 8)
    (tmp_path / "l.csv").write_text("a,red\n")
    model = network(tmp_path, "fixed")
    code, _, told = anyres(model, "--images", data.images, "--labels", tmp_path / "l.csv")
    assert code == 2
    assert "takes a height of 6" in told
    assert "convolutionalize" in told


def test_pictures_without_a_label_are_left_out_where_asked_and_said(
    data: Data, tmp_path: Path, anyres: Any
) -> None:
    for name in "abc":
        data.random(name, 8, 8)
    (data.labels / "b.png").unlink()
    data.label("z", np.zeros((8, 8)))
    words = network(tmp_path, "unet"), "--images", data.images, "--labels", data.labels
    assert anyres(*words)[0] == 2
    code, text, _ = anyres(*words, "--skip-unlabelled")
    assert code == 0
    assert "segmentation of 2 pictures" in text
    assert "1 picture without a label left out" in text
    assert "1 label without a picture" in text
    assert "segmentation of 1 picture," in anyres(*words, "--skip-unlabelled", "--limit", 1)[1]


def test_other_numbers_can_be_ignored(data: Data, tmp_path: Path) -> None:
    labels = np.zeros((8, 8))
    labels[0] = 9
    data.picture("a", 8, 8)
    data.label("a", labels)
    model = network(tmp_path, "unet")
    report = evaluate(model, data.request(ignored=frozenset({9})))
    assert (report.coverage.compared, report.coverage.ignored) == (56, 8)
    assert report.result.scores.absent == (1, 2)  # type: ignore[union-attr]


def test_a_class_in_no_label_is_said_to_be_left_out_of_the_mean(
    data: Data, tmp_path: Path, anyres: Any
) -> None:
    labels = data.picture("a", 20, 20).argmax(axis=2)
    data.label("a", np.where(labels == 2, 255, labels))
    words = network(tmp_path, "brightest"), "--images", data.images, "--labels", data.labels
    _, text, _ = anyres(*words)
    assert "over 2 of 3 classes" in text
    assert "1 class in no label: no accuracy and no IU" in text


def test_a_turned_picture_is_compared_upright(data: Data, tmp_path: Path) -> None:
    pixels = data.picture("a", 6, 10)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.fromarray(pixels).save(data.images / "a.png", exif=exif)
    data.label("a", np.rot90(pixels, -1).argmax(axis=2))
    report = evaluate(network(tmp_path, "brightest"), data.request())
    assert report.result.scores.pixel_accuracy == 1.0  # type: ignore[union-attr]


def test_what_a_card_assumes_is_told(data: Data, tmp_path: Path, anyres: Any) -> None:
    data.random("a", 8, 8)
    path = network(tmp_path, "unet")
    model = onnx.load(path)
    del model.metadata_props[:]
    path.write_bytes(model.SerializeToString())
    _, text, _ = anyres(
        path, "--images", data.images, "--labels", data.labels, "--task", "segmentation"
    )
    assert "the file has no card" in text
    assert "assumed, and the numbers are wrong if that is: input.colour" in text


def test_a_card_of_another_version_is_named(data: Data, tmp_path: Path, anyres: Any) -> None:
    data.random("a", 8, 8)
    path = network(tmp_path, "unet")
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {METADATA_KEY: '{"name": "old"}'})
    path.write_bytes(model.SerializeToString())
    code, _, told = anyres(path, "--images", data.images, "--labels", data.labels)
    assert code == 2
    assert "is of another version of anyres" in told


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
