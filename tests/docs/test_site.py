"""The site is built without a warning, and a browser that shows it asks nobody else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tests.docs.given import ROOT

pytestmark = pytest.mark.slow
# What makes a browser fetch what it names; a link that somebody may click on does not.
FETCHED = {"img": "src", "script": "src", "iframe": "src", "source": "src", "object": "data"}
LINKED = ("stylesheet", "icon", "preconnect", "preload", "prefetch", "dns-prefetch", "manifest")
ELSEWHERE = re.compile(r"(https?:)?//")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` does."""
    pytest.importorskip("mkdocs", reason="the extra `docs` builds the site")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir"]
    done = subprocess.run(
        [*command, str(folder)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return folder


class Fetched(HTMLParser):
    """Collects what a page makes a browser fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.scripted = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at one element."""
        self.scripted = tag == "script"
        said = dict(attrs)
        name = FETCHED.get(tag)
        if tag == "link" and set((said.get("rel") or "").split()) & set(LINKED):
            name = "href"
        if name and said.get(name):
            self.addresses.append(str(said[name]))

    def handle_data(self, data: str) -> None:
        """What a script names, it may fetch."""
        if self.scripted:
            self.addresses += re.findall(r"https?:[^\"'\s]+", data)
        self.scripted = False


def test_the_site_fetches_nothing_from_elsewhere(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        fetched = Fetched()
        fetched.feed(page.read_text("utf-8"))
        assert fetched.addresses, page
        assert [one for one in fetched.addresses if ELSEWHERE.match(one)] == [], page
        # The theme would fetch a library for diagrams.
        assert 'class="mermaid"' not in page.read_text("utf-8"), page


def test_no_style_fetches_anything_from_elsewhere(site: Path) -> None:
    for style in site.rglob("*.css"):
        urls = re.findall(r"""(?:url\(|@import)\s*["']?([^"')\s;]+)""", style.read_text("utf-8"))
        assert [one for one in urls if ELSEWHERE.match(one)] == [], style


def test_every_page_has_a_place_in_the_navigation(site: Path) -> None:
    """Strictness sees to it that what is in the navigation is there."""
    home = (site / "index.html").read_text("utf-8")
    for page in (ROOT / "docs").rglob("*.md"):
        built = page.relative_to(ROOT / "docs").with_suffix(".html")
        assert f'href="{built}"' in home, built


def test_pictures_are_light() -> None:
    pictures = [one for one in (ROOT / "docs").rglob("*") if one.suffix in {".png", ".jpg"}]
    assert pictures
    assert [one for one in pictures if one.stat().st_size >= 200_000] == []
