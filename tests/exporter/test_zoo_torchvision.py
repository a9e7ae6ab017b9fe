"""Our classifiers against torchvision's: its names, its shapes, its numbers, its counts."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.torch,
    pytest.mark.skipif(find_spec("torchvision") is None, reason="torchvision is not installed"),
]

from tests.exporter.lively import lively, spread  # noqa: E402

from anyres_exporter.sources.families import from_family  # noqa: E402
from anyres_exporter.zoo.catalogue import CATALOGUE  # noqa: E402

CLASSIFIERS = [name for name, entry in CATALOGUE.items() if entry.task == "classification"]
LARGE = {"resnet50", "vgg11", "vgg16", "vgg19"}  # seconds, and half a gigabyte each


def test_there_are_seven() -> None:
    expected = {"alexnet", "vgg11", "vgg16", "vgg19", "resnet18", "resnet50", "mobilenet_v2"}
    assert set(CLASSIFIERS) == expected


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_the_state_dict_has_torchvision_s_names_and_shapes_in_its_order(name: str) -> None:
    with torch.device("meta"):
        ours, theirs = CATALOGUE[name].factory(), from_family(f"torchvision:{name}", {})
    assert [(key, value.shape) for key, value in ours.state_dict().items()] == [
        (key, value.shape) for key, value in theirs.state_dict().items()
    ]


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.exhaustive] if n in LARGE else []) for n in CLASSIFIERS],
)
def test_a_torchvision_checkpoint_gives_torchvision_s_numbers(name: str) -> None:
    theirs = lively(from_family(f"torchvision:{name}", {}), 3, (64, 64))
    with torch.device("meta"):
        ours = CATALOGUE[name].factory().eval()
    ours.load_state_dict(theirs.state_dict(), assign=True)
    for size in ((224, 224), (256, 200)):
        image = torch.randn(2, 3, *size)
        image[1] = 0.3 * image[1] + 1
        with torch.inference_mode():
            answer = ours(image)
            assert torch.equal(answer, theirs(image))
        assert spread(answer) > 0.01, "any image would give these numbers"
