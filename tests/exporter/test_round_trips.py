"""Networks of others, from their library's name to a file, each with its verdict and its proof.

The verdicts are worked out from the architectures, not copied from a report: a stem and four
poolings that round up need nothing of the size; a decoder that joins its skips needs multiples of
the encoder's stride, unless it resizes to them; a transformer's positions fix the size; a head
behind a pool answers once. `make test-all` runs this; weights are random.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.torch, pytest.mark.slow, pytest.mark.exhaustive]

from anyres_exporter.card.stamp import card_text  # noqa: E402
from anyres_exporter.errors import ExportError  # noqa: E402
from anyres_exporter.export import export  # noqa: E402
from anyres_exporter.sources.build import build  # noqa: E402
from anyres_exporter.sources.target import of_target  # noqa: E402
from anyres_proto.card import Card  # noqa: E402

MAPS = {"num_classes": 0, "global_pool": ""}  # timm's networks without their heads
FIXED = {"dynamic": False}


@dataclass(frozen=True)
class Trip:
    """A target, what is asked of it, and what is true of either axis: minimum, step, maximum."""

    target: str
    takes: tuple[int, int, int | None] = (1, 1, None)
    arguments: dict[str, Any] = field(default_factory=dict)
    asked: dict[str, Any] = field(default_factory=dict)
    tiles: bool = False
    refused: str = ""  # words of the refusal, where there must be one
    outputs: int = 1
    side: int = 64

    def __str__(self) -> str:
        said = " ".join([self.target, *map(str, self.arguments), *map(str, self.asked)])
        return said.replace("/", "-")


TRIPS = (
    Trip("torchvision:fcn_resnet50"),
    Trip("torchvision:deeplabv3_resnet50"),
    Trip("torchvision:lraspp_mobilenet_v3_large"),
    Trip("torchvision:mobilenet_v2", (224, 1, 224), asked=FIXED, side=224),
    Trip("torchvision:resnet18", refused="its output has none", side=224),
    Trip("torchvision:alexnet", refused="cannot be dynamic", side=224),
    Trip("timm:resnet18", arguments=MAPS, tiles=True),
    Trip("timm:resnet18", arguments={"features_only": True}, tiles=True, outputs=5),
    Trip("timm:regnetx_002", arguments=MAPS, tiles=True),
    Trip("timm:mobilenetv3_small_050", arguments=MAPS),
    Trip("timm:efficientnet_b0", arguments=MAPS),
    Trip("timm:convnext_atto", (32, 1, None), arguments=MAPS, tiles=True),
    Trip("timm:vit_tiny_patch16_224", (224, 1, 224), asked=FIXED, side=224),
    Trip("timm:vit_tiny_patch16_224", refused="cannot be dynamic: it takes 224", side=224),
    Trip("smp:Unet/resnet18"),
    Trip("smp:UnetPlusPlus/resnet18", (32, 32, None), tiles=True),
    Trip("smp:Linknet/resnet18", (32, 32, None), tiles=True),
    Trip("smp:Linknet/resnet18", asked={"any_size": "reflect"}, tiles=True),
    Trip("smp:FPN/resnet18", (32, 32, None)),
    Trip("smp:PSPNet/resnet18", refused="is not the model at"),
)


@pytest.mark.parametrize("trip", TRIPS, ids=str)
def test_a_network_of_others_is_proven_or_refused_by_name(trip: Trip, tmp_path: Path) -> None:
    package = {"smp": "segmentation_models_pytorch"}
    library = trip.target.partition(":")[0]
    if find_spec(package.get(library, library)) is None:
        pytest.skip(f"{library} is not installed")
    said = {"name": "net", "size": (trip.side,) * 2} | trip.asked
    if trip.arguments:
        said["arguments"] = trip.arguments
    recipe = of_target(trip.target, said)
    model, provenance = build(recipe)
    if trip.refused:
        with pytest.raises(ExportError, match=trip.refused):
            export(model, recipe.describe(), tmp_path, sizes=recipe.sizes())
        assert not list(tmp_path.glob("*.onnx*"))
        return
    path = export(model, recipe.describe(), tmp_path, sizes=recipe.sizes(), provenance=provenance)
    card = Card.model_validate_json(card_text(path) or "")
    for axis in (card.sizes.height, card.sizes.width):
        assert (axis.minimum, axis.step, axis.maximum) == trip.takes
    assert len(card.outputs) == trip.outputs
    assert card.tiling.exact == trip.tiles, card.tiling.breakers
    assert card.proofs
    assert max(proof.max_rel_error for proof in card.proofs) < 1e-4
    assert card.provenance["factory"] == trip.target
