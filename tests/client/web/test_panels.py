"""What stands beside the picture: a model's classes by name and colour."""

from __future__ import annotations

import re

import pytest

from anyres_client import Client
from anyres_client.web.panels import UNFOLDED, report
from anyres_proto.card import Card, ClassName


@pytest.fixture(scope="module")
def card(client: Client) -> Card:
    return client.model("brightest")


def with_classes(card: Card, *classes: ClassName) -> str:
    return report(card.model_copy(update={"classes": classes}))


def test_every_class_is_listed_in_its_own_colour(card: Card) -> None:
    told = with_classes(
        card, ClassName(name="sea", colour=(0, 40, 90)), ClassName(name="land", colour=(90, 60, 0))
    )
    listed = re.findall(r"<li><i style='background:rgb\(([\d,]+)\)'></i>(\w+)</li>", told)
    assert listed == [("0,40,90", "sea"), ("90,60,0", "land")]
    assert "<details open><summary>2 classes</summary>" in told


def test_many_classes_are_folded_away(card: Card) -> None:
    told = with_classes(card, *(ClassName(name=f"class {i}") for i in range(UNFOLDED + 1)))
    assert f"<details><summary>{UNFOLDED + 1} classes</summary>" in told
    assert told.count("<li>") == UNFOLDED + 1


def test_the_name_of_a_class_is_text_whatever_it_says(card: Card) -> None:
    told = with_classes(card, ClassName(name="<script>alert(1)</script>"))
    assert "<script" not in told
    assert "1 class<" in told


def test_a_model_that_knows_no_names_lists_none(card: Card) -> None:
    assert "<details" not in report(card)
