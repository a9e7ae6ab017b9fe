"""What the pages tell people to type works as it stands there, and prints what is shown.

`tests.docs.blocks` says how a page is written.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest
from demo.serving import MEMORY, served
from tests.docs.blocks import blocks
from tests.docs.given import ASSETS, MODELS, ROOT, checkout
from tests.docs.reader import Reader, Serve, targets

DOCS = ROOT / "docs"
PAGES = {
    str(page.relative_to(ROOT)): page
    for page in (ROOT / "README.md", *sorted(DOCS.rglob("*.md")))
    if not page.is_relative_to(DOCS / "server")
}
TYPED = {name: typed for name, page in PAGES.items() if (typed := blocks(page))}
# What it types is what tests/exporter tries one by one.
LONGEST = ("docs/export.md",)
LONG = pytest.mark.exhaustive
# Pages that tests of their own take through, because they need a server of their own.
ELSEWHERE = {
    "huge-images": "test_huge",
    "operations": "test_operations_docs",
    "protocol": "test_oip_docs",
    "scheduling": "test_scheduling_docs",
}
# How many blocks cannot be run here, by page, and why. Keep it small.
NOT_RUN = {
    ("README.md", "it is what runs these blocks"): 1,
    ("docs/deploy.md", "needs a container engine"): 9,
    ("docs/start.md", "it takes minutes, and makes what all pages are run with"): 1,
    ("docs/tutorials/folder.md", "needs a cluster"): 1,
    ("docs/tutorials/gigapixel.md", "it takes minutes, and a scan of 900 megapixels"): 1,
    ("docs/tutorials/kubernetes.md", "needs a container engine"): 1,
    ("docs/tutorials/kubernetes.md", "needs a cluster"): 7,
    ("docs/web.md", "tests/client/web takes this page through in a browser"): 1,
}


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Servers until the last page is read; the folder that most pages serve has one for all."""
    with ExitStack() as stack:

        def address(folder: Path, memory: str | None) -> str:
            models = folder if folder.name != "models" else MODELS
            return _address(models, memory or MEMORY)

        @cache
        def _address(models: Path, memory: str) -> str:
            log = tmp_path_factory.mktemp("server") / "log"
            return stack.enter_context(served(models, log, memory=memory))

        yield address


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=LONG if name in LONGEST else ()) for name in TYPED]
)
def test_what_a_page_says_to_type_works_and_prints_what_is_shown(
    name: str, serve: Serve, tmp_path: Path
) -> None:
    if not (ASSETS / ".complete").exists() or len(list(MODELS.glob("*.onnx"))) < 3:
        pytest.skip("`make models` fetches the photographs and exports the models")
    reader = Reader(checkout(tmp_path, PAGES[name].read_text("utf-8")), serve)
    for block in TYPED[name]:
        reader = reader.follow(block)


def test_every_page_is_read_here_or_by_a_test_of_its_own() -> None:
    typed = {page.stem for page in (DOCS / "server").glob("*.md") if blocks(page)}
    assert typed == ELSEWHERE.keys()
    for page, test in ELSEWHERE.items():
        assert page in (ROOT / f"tests/server/{test}.py").read_text("utf-8")


def test_what_cannot_be_run_says_why_and_there_is_not_more_of_it() -> None:
    said = ((name, block.not_run) for name, typed in TYPED.items() for block in typed)
    assert Counter(one for one in said if one[1] is not None) == NOT_RUN


def test_what_is_asked_of_make_are_its_targets() -> None:
    known = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    asked = {one for typed in TYPED.values() for block in typed for one in targets(block)}
    assert asked
    assert asked <= known
