"""Small networks that know something, and pictures they know it of: nothing is downloaded.

A picture is a plane of one colour with rectangles of others, and noise. The features of a network
are random; its head is fitted to the colours' classes by least squares, in closed form. So its
answers have margins, as those of a trained network have.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import numpy_helper
from PIL import Image

from anyres_exporter.pictures import decoded, pictures, prepared
from anyres_proto.card import ImageInput

CLASSES = 4
COLOURS = np.array([(30, 60, 190), (40, 170, 60), (210, 190, 90), (220, 60, 50)])
UNET = """
    a = Conv <kernel_shape=[3,3], pads=[1,1,1,1]> (image, w1, b1)
    r = Relu (a)
    p = MaxPool <kernel_shape=[2,2], strides=[2,2]> (r)
    c = Conv <kernel_shape=[3,3], pads=[1,1,1,1]> (p, w2, b2)
    d = Relu (c)
    u = ConvTranspose <kernel_shape=[2,2], strides=[2,2]> (d, w3)
    j = Concat <axis=1> (r, u)
    e = Conv <kernel_shape=[3,3], pads=[1,1,1,1]> (j, w4, b4)
    features = Relu (e)
"""
UNET_WEIGHTS = {
    "w1": (12, 3, 3, 3),
    "b1": (12,),
    "w2": (16, 12, 3, 3),
    "b2": (16,),
    "w3": (16, 8, 2, 2),
    "w4": (24, 20, 3, 3),
    "b4": (24,),
}


def scene(seed: int, size: tuple[int, int]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """A picture (h, w, 3) and the class of every pixel."""
    rng = np.random.default_rng(seed)
    classes = np.full(size, rng.integers(CLASSES))
    for _ in range(6):
        top, left = rng.integers(0, size[0] - 8), rng.integers(0, size[1] - 8)
        height, width = rng.integers(8, 30, 2)
        classes[top : top + height, left : left + width] = rng.integers(CLASSES)
    pixels = COLOURS[classes] + rng.normal(0, 12, (*size, 3))
    return pixels.clip(0, 255).astype(np.uint8), classes


def save_scenes(folder: Path, count: int = 6) -> Path:
    """Pictures of mixed sizes, named in order."""
    folder.mkdir(exist_ok=True)
    for index in range(count):
        pixels, _ = scene(100 + index, (64 + 8 * (index % 3), 80 + 6 * (index % 2)))
        Image.fromarray(pixels).save(folder / f"{index:02d}.png")
    return folder


def network(
    nodes: str, weights: dict[str, NDArray[np.float32]], result: str = "float[N,K,P,Q] features"
) -> onnx.ModelProto:
    """ONNX text with an image for input, and weights."""
    made = onnx.parser.parse_model(
        f'<ir_version: 10, opset_import: ["" : 18]> net (float[N,3,H,W] image) => ({result})'
        f"{{ {nodes} }}"
    )
    made.graph.initializer.extend(
        numpy_helper.from_array(values, name) for name, values in weights.items()
    )
    for index, node in enumerate(made.graph.node):
        node.name = f"{node.op_type.lower()}_{index}"
    return made


def random_weights(
    shapes: dict[str, tuple[int, ...]], seed: int = 0
) -> dict[str, NDArray[np.float32]]:
    """Scaled so that activations keep their size (He et al., 2015)."""
    rng = np.random.default_rng(seed)
    return {
        name: (rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:] or (8,)))).astype("f")
        for name, shape in shapes.items()
    }


def fitted(nodes: str, weights: dict[str, NDArray[np.float32]]) -> onnx.ModelProto:
    """A 1x1 head on `features` that tells the classes, fitted on scenes by least squares."""
    session = ort.InferenceSession(
        network(nodes, weights).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    rows, targets = [], []
    for seed in range(6):
        pixels, classes = scene(seed, (64, 80))
        image = (pixels.transpose(2, 0, 1)[None] / np.float32(255)).astype("f")
        (features,) = session.run(None, {"image": image})
        rows.append(features[0].reshape(features.shape[1], -1).T)
        targets.append(np.eye(CLASSES)[classes.ravel()])
    x = np.concatenate(rows).astype(np.float64)
    x = np.hstack([x, np.ones((len(x), 1))])
    y = np.concatenate(targets) * 10
    solved = np.linalg.solve(x.T @ x + 30 * np.eye(x.shape[1]), x.T @ y)
    head = {
        "wh": solved[:-1].T[:, :, None, None].astype("f"),
        "bh": solved[-1].astype("f"),
    }
    nodes += "logits = Conv <kernel_shape=[1,1]> (features, wh, bh)"
    return network(nodes, weights | head, "float[N,4,P,Q] logits")


def unet() -> onnx.ModelProto:
    """One level down and up, with a skip: 8,400 weights."""
    return fitted(UNET, random_weights(UNET_WEIGHTS))


def saved(graph: onnx.ModelProto, folder: Path, name: str = "net") -> Path:
    """As a file."""
    path = folder / f"{name}.onnx"
    onnx.save(graph, path)
    return path


def inputs(scenes: Path) -> list[NDArray[np.float32]]:
    """The pictures as a network takes them."""
    return [prepared(decoded(path, ImageInput()), ImageInput()) for path in pictures(scenes)]
