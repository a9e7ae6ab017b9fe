"""What several tests of the analyzer need."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def torchvision() -> Iterator[None]:
    """Makes torchvision importable: on a CPU build of torch its binary lacks two operators."""
    torch = pytest.importorskip("torch")
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, operator):
            library.define(f"{operator}(Tensor dets, Tensor scores, float threshold) -> Tensor")
    pytest.importorskip("torchvision")
    yield
    del library
