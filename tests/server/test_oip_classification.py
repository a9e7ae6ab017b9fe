"""The classification extension: the best classes of each image, as strings."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
from tests.server.stock import received, sent, stock

NAMES = ("cat", "dog", "owl", "fox", "elk")
CLASSES = tuple({"name": name, "colour": None} for name in NAMES)


def scores(network: Any, name: str, planes: NDArray[np.float32]) -> NDArray[np.float32]:
    (found,) = ReferenceEvaluator(network(name)).run(None, {"x": planes})
    made: NDArray[np.float32] = np.asarray(found)
    return made


async def classes(port: int, model: str, output: str, count: int, **options: Any) -> Any:
    outputs = [{"name": output, "class_count": count}]
    asked = {"model": model, "name": "x", "outputs": outputs, **options}
    (outcome,) = await stock(port, ("infer", asked))
    if "value" not in outcome:
        return outcome
    assert outcome["value"]["datatypes"] == {output: "BYTES"}
    return [
        [received(each).decode() for each in row] for row in outcome["value"]["outputs"][output]
    ]


def words(of_image: NDArray[np.float32], count: int, names: tuple[str, ...] = ()) -> list[str]:
    """What the extension's own definition gives."""
    best = sorted(range(len(of_image)), key=lambda index: -of_image[index])[:count]
    return [
        ":".join([f"{of_image[index]:.6f}", str(index), *names[index : index + 1]])
        for index in best
    ]


def alike(found: list[str], wanted: list[str]) -> bool:
    """The same classes, and values as near as float32 is."""
    pairs = [(one.split(":"), two.split(":")) for one, two in zip(found, wanted, strict=True)]
    return all(
        one[1:] == two[1:] and abs(float(one[0]) - float(two[0])) < 1e-5 for one, two in pairs
    )


async def test_scores_of_the_whole_image_are_ranked_image_by_image(
    serve: Any, network: Any
) -> None:
    given = np.random.default_rng(6).random((3, 3, 8, 8), np.float32)
    async with serve("head") as served:
        found = await classes(served.server.port, "head", "y", 3, values=given.tolist())
    wanted = scores(network, "head", given)
    assert len(found) == 3
    assert all(alike(row, words(of_image, 3)) for row, of_image in zip(found, wanted, strict=True))


async def test_names_follow_the_index_where_the_card_has_them(
    serve: Any, save_model: Any, network: Any
) -> None:
    save_model("stride4", classes=CLASSES)
    given = np.random.default_rng(6).random((1, 3, 8, 8), np.float32)
    async with serve() as served:
        (found,) = await classes(served.server.port, "stride4", "y", 99, values=given.tolist())
    (of_image,) = scores(network, "stride4", given).mean(axis=(2, 3))
    assert len(found) == 5  # as many as there are
    assert alike(found, words(of_image, 5, NAMES))


async def test_pictures_of_several_sizes_are_classified_by_the_mean_over_their_cells(
    serve: Any, network: Any, png: Any
) -> None:
    random = np.random.default_rng(8)
    pictures = [random.integers(0, 256, (size, 12, 3), np.uint8) for size in (8, 20, 96)]
    limits = {"memory_whole_image": 12_000, "memory_tile": 12_000}  # the last one is tiled
    async with serve("stride4", **limits) as served:
        found = await classes(
            served.server.port,
            "stride4",
            "logits",
            2,
            files=sent(*map(png, pictures)),
            datatype="BYTES",
        )
    for row, pixels in zip(found, pictures, strict=True):
        planes = (pixels.transpose(2, 0, 1)[None] / 255).astype(np.float32)
        (of_image,) = scores(network, "stride4", planes).mean(axis=(2, 3))
        assert alike(row, words(of_image, 2))


async def test_what_is_no_score_is_not_ranked(serve: Any) -> None:
    given = np.zeros((1, 3, 8, 8)).tolist()
    async with serve("stride4") as served:
        refused = await classes(served.server.port, "stride4", "class_map", 2, values=given)
        below = await classes(served.server.port, "stride4", "y", -1, values=given)
    assert "holds no scores of classes" in refused["message"]
    assert "at least 0; got -1" in below["message"]
    assert {refused["status"], below["status"]} == {"StatusCode.INVALID_ARGUMENT"}
