"""The reference is whole: everything public is in it, and it is as new as what it is about."""

from __future__ import annotations

import re
from pathlib import Path

from docs.reference.commands import PAGE, page

import anyres_client

REFERENCE = Path(__file__).parents[2] / "docs/reference"


def test_the_page_of_commands_is_what_the_commands_say() -> None:
    assert PAGE.read_text("utf-8") == page(), "write it anew: python -m docs.reference.commands"


def test_everything_public_of_the_client_is_in_the_reference() -> None:
    pages = "".join(page.read_text("utf-8") for page in REFERENCE.glob("*.md"))
    told = set(re.findall(r"^::: (\S+)$", pages, re.MULTILINE))
    for name in anyres_client.__all__:
        thing = getattr(anyres_client, name)
        assert told & {thing.__module__, f"{thing.__module__}.{name}"}, name
