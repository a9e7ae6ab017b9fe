"""The pictures of the explanation are what the analyzer says."""

from __future__ import annotations

import pytest
from docs.explain.pictures import FOLDER, PICTURES


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_what_its_script_draws(name: str) -> None:
    drawn = PICTURES[name]()
    assert (FOLDER / f"{name}.svg").read_text("utf-8") == drawn, "python -m docs.explain.pictures"


def test_every_picture_is_shown_on_the_page() -> None:
    page = (FOLDER / "any-size.md").read_text("utf-8")
    for file in FOLDER.glob("*.[sj][vp]g"):
        assert f"]({file.name})" in page, file
        assert file.stat().st_size < 150_000, file
