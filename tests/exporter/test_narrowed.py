"""What a model refuses by itself is not promised, although its graph would take it."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from torch import Tensor, nn  # noqa: E402

from anyres_exporter.export import export  # noqa: E402
from anyres_exporter.request import Sizes  # noqa: E402
from anyres_exporter.zoo.unet import UNet  # noqa: E402
from anyres_proto.card import METADATA_KEY, AxisContract, Card, Description  # noqa: E402


class Checked(nn.Module):
    """A network that insists on multiples, as many do, and on a smallest size."""

    def __init__(self, network: nn.Module, step: int, least: int = 0) -> None:
        super().__init__()
        self.network, self.step, self.least = network, step, least

    def forward(self, image: Tensor) -> Tensor:
        for size in image.shape[-2:]:
            if size % self.step or size < self.least:
                raise RuntimeError(f"{size} is not divisible by {self.step}.\nPad it.")
        answer: Tensor = self.network(image)
        return answer


def card_of(model: nn.Module, folder: Path, **asked: object) -> Card:
    sizes = Sizes(traced=(48, 48), **asked)  # type: ignore[arg-type]
    path = export(model, Description(name="net", task="segmentation"), folder, sizes=sizes)
    found = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    return Card.model_validate_json(found[METADATA_KEY])


@pytest.mark.parametrize(
    ("network", "step", "least", "minimum"),
    [
        (nn.Conv2d(3, 2, 3, padding=1), 16, 0, 16),
        (nn.Conv2d(3, 2, 3, padding=1), 12, 36, 36),
        (UNet(width=2, depth=2), 16, 0, 16),
        (UNet(width=2, depth=2), 6, 0, 12),  # its graph's multiples of 4, and its own of 6
    ],
    ids=["a free one", "one with a least", "a stepped one", "two steps that cross"],
)
def test_what_the_model_refuses_is_not_promised(
    network: nn.Module, step: int, least: int, minimum: int, tmp_path: Path
) -> None:
    card = card_of(Checked(network, step, least), tmp_path)
    for axis in (card.sizes.height, card.sizes.width):
        assert isinstance(axis, AxisContract)
        assert (axis.verdict, axis.minimum) == ("stepped", minimum)
        assert axis.step % step == 0
        assert "the model itself refuses other sizes" in axis.reason
        assert f"not divisible by {step}. Pad it" in axis.reason
    assert card.tiling.height is not None
    assert card.tiling.height.alignment % step == 0
    assert all(proof.height % step == 0 == proof.width % step for proof in card.proofs)


def test_padded_it_takes_any_size_all_the_same(tmp_path: Path) -> None:
    card = card_of(Checked(nn.Conv2d(3, 2, 3, padding=1), 16), tmp_path, any_size="edge")
    assert (card.sizes.height.verdict, card.sizes.height.minimum) == ("free", 1)
    assert any(proof.height % 16 for proof in card.proofs)


def test_a_model_that_checks_nothing_keeps_the_sizes_of_its_graph(tmp_path: Path) -> None:
    card = card_of(nn.Conv2d(3, 2, 3, padding=1), tmp_path)
    assert (card.sizes.height.verdict, card.sizes.height.minimum) == ("free", 1)
    assert "itself" not in card.sizes.height.reason
