"""Tiny networks with cards, pictures with labels, and what the former say of the latter."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import onnx.parser
import onnxruntime as ort
from numpy.typing import NDArray
from PIL import Image

from anyres_exporter.card.compose import Told
from anyres_exporter.card.stamp import stamp
from anyres_exporter.evaluate.evaluation import Request
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
