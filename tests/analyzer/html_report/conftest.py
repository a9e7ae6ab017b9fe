"""One browser and one page of each model for all tests of the page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.analyzer.html_report.browser import CHROMIUM, Browser
from tests.analyzer.html_report.models import OVER_SPACE, POOLED, STRIDED, U_NET, model, page


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("needs chromium")
    with Browser.start(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A page of each model."""
    folder = tmp_path_factory.mktemp("pages")
    bodies = {"strided": STRIDED, "u_net": U_NET, "over_space": OVER_SPACE, "pooled": POOLED}
    models = {name: model(body) for name, body in bodies.items()}
    models["costless"] = model("y = MaxPool <kernel_shape=[2,2], strides=[2,2]> (x)", "n,3,h,64")
    return {name: page(folder, proto, name) for name, proto in models.items()}
