"""Export end to end: what comes out is the model at every size, or nothing comes out.

The oracle is PyTorch eager. The models are a few channels wide, and each wrong one is a mistake
that torch's own exporter accepts without a word.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from anyres_proto.card import METADATA_KEY, Card, Description

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from torch import Tensor, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from anyres_exporter.errors import NotExportable, NotProven  # noqa: E402
from anyres_exporter.export import export  # noqa: E402
from anyres_exporter.request import Sizes  # noqa: E402
from anyres_exporter.zoo.unet import UNet  # noqa: E402


class Stem(nn.Module):
    """One strided convolution; the models below differ in what they do with its map."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, stride=2, padding=1)


class Dense(Stem):
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = F.relu(self.stem(x))
        return y


class FlattenedHead(Stem):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4 * 64, 5)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.stem(x).flatten(1))
        return y


class PooledHead(Stem):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.stem(x).mean((2, 3)))
        return y


class AdaptivePool(Stem):
    """torch's exporter gets this wrong off the traced size."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(7)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.stem(x) + self.pool(self.stem(x)).mean()
        return y


class BakedSize(Stem):
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = F.interpolate(self.stem(x), size=(32, 32))
        return y


class SizeInPython(Stem):
    """A branch on the size that the trace cannot see."""

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.stem(x) if x.shape[2] <= 32 else -self.stem(x)
        return y


def exported(
    model: nn.Module, folder: Path, *, traced: tuple[int, int] = (32, 32), **asked: object
) -> Path:
    torch.manual_seed(0)
    description = Description(name="net", task="segmentation")
    sizes = Sizes(traced=traced, **asked)  # type: ignore[arg-type]
    return export(model, description, folder, sizes=sizes)


def card_of(path: Path) -> Card:
    metadata = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    return Card.model_validate_json(metadata[METADATA_KEY])


def difference(model: nn.Module, path: Path, *shape: int) -> float:
    image = torch.randn(*shape)
    with torch.inference_mode():
        expected = model(image).numpy()
    (actual,) = ort.InferenceSession(path).run(None, {"image": image.numpy()})
    assert actual.shape == expected.shape
    return float(np.abs(actual - expected).max())


def test_a_convolutional_model_is_exported_for_every_size_and_says_so(tmp_path: Path) -> None:
    model = Dense().eval()
    path = exported(model, tmp_path)
    card = card_of(path)
    assert (card.sizes.height.verdict, card.sizes.width.verdict) == ("free", "free")
    assert card.output.dense
    assert card.tiling.exact
    for shape in [(1, 3, 1, 1), (2, 3, 7, 101), (1, 3, 300, 451)]:
        assert difference(model, path, *shape) < 1e-5


def test_the_card_lists_what_was_proven_residues_and_odd_shapes_included(tmp_path: Path) -> None:
    card = card_of(exported(UNet(classes=2, width=4, depth=2), tmp_path, any_size="edge"))
    proven = {(proof.height, proof.width) for proof in card.proofs}
    assert (
        {height % 4 for height, _ in proven} == {width % 4 for _, width in proven} == set(range(4))
    )
    assert any(height != width for height, width in proven)
    assert {proof.batch for proof in card.proofs} == {1, 3}
    assert all(proof.max_rel_error < 1e-4 for proof in card.proofs)


def test_a_stepped_model_keeps_its_step_and_names_the_node_that_needs_it(tmp_path: Path) -> None:
    height = card_of(exported(UNet(classes=2, width=4, depth=2), tmp_path)).sizes.height
    assert (height.verdict, height.minimum, height.step) == ("stepped", 4, 4)
    assert "Concat" in (height.node or "")


def test_a_pinned_model_takes_its_size_only_and_any_batch(tmp_path: Path) -> None:
    model = FlattenedHead().eval()
    path = exported(model, tmp_path, traced=(16, 16), dynamic=False)
    card = card_of(path)
    assert card.sizes.height.admits(16)
    assert not card.sizes.height.admits(17)
    assert "Reshape" in (card.sizes.height.node or "")  # its target is baked to 256 values
    assert difference(model, path, 5, 3, 16, 16) < 1e-5


@pytest.mark.parametrize(
    ("model", "node"),
    [
        (FlattenedHead, "Gemm"),
        (PooledHead, "ReduceMean"),
        (AdaptivePool, "AdaptiveAvgPool2d"),
        (BakedSize, "Resize"),
    ],
)
def test_an_axis_that_only_looks_dynamic_is_refused_by_the_name_of_its_node(
    model: type[nn.Module], node: str, tmp_path: Path
) -> None:
    traced = (16, 16) if model is FlattenedHead else (32, 32)
    with pytest.raises(NotProven, match=node) as refused:
        exported(model(), tmp_path, traced=traced)
    assert node in (refused.value.node or "")
    assert not list(tmp_path.glob("*.onnx"))


def test_a_graph_that_differs_from_the_model_somewhere_is_never_written(tmp_path: Path) -> None:
    with pytest.raises((NotProven, NotExportable)):
        exported(SizeInPython(), tmp_path)
    assert not list(tmp_path.glob("*.onnx"))


def test_what_torch_cannot_export_ends_in_one_sentence_and_a_log(tmp_path: Path) -> None:
    class Impossible(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * float(np.asarray(x.sum().item()))

    with pytest.raises(NotExportable) as failed:
        exported(Impossible(), tmp_path)
    assert "\n" not in str(failed.value)
    assert (tmp_path / "net.export.log").read_text()


def test_a_model_that_does_not_run_at_the_traced_size_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(NotExportable, match="does not run on a 30x30 image of 3 channels: Sizes"):
        exported(UNet(width=2, depth=2), tmp_path, traced=(30, 30))


def test_a_model_that_returns_no_tensor_is_told_what_it_returns(tmp_path: Path) -> None:
    class Words(nn.Module):
        def forward(self, x: Tensor) -> dict[str, object]:
            return {"out": x, "label": "cat"}

    with pytest.raises(NotExportable, match="the model returns a str as 'label'; expected tensors"):
        exported(Words(), tmp_path)


@dataclass
class Answer:
    semantic: Tensor
    offset: Tensor
    unused: Tensor | None = None


class Pair(NamedTuple):
    fine: Tensor
    coarse: Tensor


class Several(Stem):
    """Two maps of different strides, in the container that it is given."""

    def __init__(self, pack: Callable[[Tensor, Tensor], object]) -> None:
        super().__init__()
        self.pack = pack

    def forward(self, x: Tensor) -> object:
        y = self.stem(x)
        return self.pack(F.interpolate(y, scale_factor=2.0), y.relu())


@pytest.mark.parametrize(
    ("pack", "names"),
    [
        (lambda a, b: {"b": a, "a": b}, ("b", "a")),
        (Answer, ("semantic", "offset")),
        (Pair, ("fine", "coarse")),
        (lambda a, b: (a, b), ("output_0", "output_1")),
        (lambda a, b: {"out": a, "aux": [b]}, ("out", "aux.0")),
    ],
    ids=["a dict", "a dataclass", "a named tuple", "a tuple", "a nest"],
)
def test_several_outputs_keep_their_names_their_order_and_their_numbers(
    pack: Callable[[Tensor, Tensor], object], names: tuple[str, ...], tmp_path: Path
) -> None:
    model = Several(pack).eval()
    path = exported(model, tmp_path)
    card = card_of(path)
    assert tuple(output.name for output in card.outputs) == names
    assert [output.stride[0] for output in card.outputs] == [1, 2]
    assert all(output.dense and output.channels == 4 for output in card.outputs)
    image = torch.randn(2, 3, 38, 26)
    with torch.inference_mode():
        y = model.stem(image)
        expected = {names[0]: F.interpolate(y, scale_factor=2.0), names[1]: y.relu()}
    session = ort.InferenceSession(path)
    assert tuple(output.name for output in session.get_outputs()) == names
    for name, answer in zip(names, session.run(None, {"image": image.numpy()}), strict=True):
        np.testing.assert_allclose(answer, expected[name].numpy(), atol=1e-5)


def test_an_output_may_be_called_what_torch_calls_something_inside(tmp_path: Path) -> None:
    class Centred(Stem):
        def forward(self, x: Tensor) -> dict[str, Tensor]:
            y = self.stem(x)
            return {"scores": y - y.mean(1, keepdim=True), "mean": y.relu(), "conv2d": -y}

    model = Centred().eval()
    session = ort.InferenceSession(exported(model, tmp_path))
    image = torch.randn(1, 3, 38, 26)
    with torch.inference_mode():
        expected = model(image)
    for name, values in expected.items():
        (answer,) = session.run([name], {"image": image.numpy()})
        np.testing.assert_allclose(answer, values.numpy(), atol=1e-5)


def test_of_several_outputs_each_is_proven(tmp_path: Path) -> None:
    class OneWrong(Stem):
        def forward(self, x: Tensor) -> dict[str, Tensor]:
            y = self.stem(x)
            wrong = F.adaptive_avg_pool2d(y, (3, 3)).mean((2, 3), keepdim=True)
            return {"right": y, "wrong": y + wrong}

    with pytest.raises(NotProven, match="output 'wrong' differs from PyTorch"):
        exported(OneWrong(), tmp_path)


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    model = Dense()
    first = exported(model, tmp_path / "a").read_bytes()
    assert exported(model, tmp_path / "b").read_bytes() == first
