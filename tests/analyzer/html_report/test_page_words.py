"""What is told: sizes, reasons, weights and layers, readable everywhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.analyzer.html_report.browser import Browser

from anyres_analyzer import analyze
from anyres_analyzer.report.compose import report

COLOURS = ".lead .about .finding .verdict .soft td code h2 .yes .no figcaption dt".split()


@pytest.mark.parametrize(
    ("name", "sentences"),
    [
        ("strided", ["a map of 6 channels, with an answer for every 2x2", "every size from 1x1"]),
        ("u_net", ["with an answer for every pixel", "Its sides must have 2, 4, ... pixels"]),
        ("over_space", ["one answer of 3 channels", "widths of 15 to 16 and heights of 15 to 16"]),
        ("costless", ["Widths are 64, heights at least 2 pixels", "costs 0 multiply-adds"]),
    ],
)
def test_the_first_paragraph_says_what_the_model_is(
    name: str, sentences: list[str], browser: Browser, pages: dict[str, Path]
) -> None:
    (lead,) = browser.open(pages[name]).texts(".lead")
    for sentence in sentences:
        assert sentence in lead


def test_what_forbids_tiles_is_listed(browser: Browser, pages: dict[str, Path]) -> None:
    tab = browser.open(pages["over_space"])
    assert tab.texts("#cutting .no") == ["No."]
    assert "'flat' (Flatten): it flattens the axis into others" in tab.texts("#cutting li")


def test_errors_and_ties_are_told_first(browser: Browser, pages: dict[str, Path]) -> None:
    tab = browser.open(pages["over_space"])
    findings = report("over_space", analyze(pages["over_space"].with_suffix(".onnx"))).findings
    assert {finding.level for finding in findings} == {"error"}
    for finding, shown in zip(findings, tab.texts("#findings .error span"), strict=True):
        assert shown.startswith(finding.message)
    (tied,) = tab.texts("#sizes .finding")
    assert "64 cells" in tied
    assert tab.texts("#sizes .card .verdict") == ["fixed"]


def test_any_size_can_be_tried(browser: Browser, pages: dict[str, Path]) -> None:
    tab = browser.open(pages["u_net"])
    assert tab.texts("#try output") == ["goes through"]
    tab.value("document.querySelector('#try input').select()")
    tab.type("451")
    assert tab.texts("#try output") == ["width 451 is not taken, 450 and 452 would be"]


def test_the_layers_are_filtered_as_one_types(browser: Browser, pages: dict[str, Path]) -> None:
    tab = browser.open(pages["u_net"])
    assert tab.texts("#layer-table .name") == ["stem", "deep", "mix"]
    tab.click("#search")
    tab.type("CONV k x")
    assert tab.texts("#layer-table .name") == ["stem", "deep"]
    assert tab.texts("#found") == ["2 of 3 layers"]


def test_an_address_can_carry_a_search(browser: Browser, pages: dict[str, Path]) -> None:
    tab = browser.open(pages["u_net"].as_uri() + "?q=1x1")
    assert tab.texts("#layer-table .name") == ["mix"]


def test_a_click_on_a_heading_sorts(browser: Browser, pages: dict[str, Path]) -> None:
    tab = browser.open(pages["u_net"])
    tab.click("#layer-table th:nth-child(6)")
    assert tab.texts("#layer-table .name") == ["deep", "stem", "mix"]  # 288, 108, 24 parameters
    tab.click("#layer-table th:nth-child(6)")
    assert tab.texts("#layer-table .name") == ["mix", "stem", "deep"]


def test_a_1x1_convolution_is_explained_with_its_own_numbers(
    browser: Browser, pages: dict[str, Path]
) -> None:
    words = " ".join(browser.open(pages["strided"]).texts("#weights article p"))
    assert "makes 6 channels of 4: 24 weights, a matrix of rank 4" in words
    assert "used at 12,544 positions of an image of 224x224" in words
    assert f"{112 * 112 * 24:,} weights for images of 224x224, instead of 24" in words


def test_an_fc_head_is_explained_with_its_own_numbers(
    browser: Browser, pages: dict[str, Path]
) -> None:
    tab = browser.open(pages["over_space"])
    words = " ".join(tab.texts("#weights article p"))
    assert "makes 5 values of 256: 1,280 parameters" in words
    assert "4 channels of 8x8" in words
    rows = tab.texts("#weights article td")
    assert rows[-4:] == ["32x32", "16x16", f"{4 * 1280:,}", f"{108 + 4 * 1280 + 15:,}"]
    assert "makes 3 values of 5" in words
    assert "It mixes what an FC layer before it has made" in words


def test_an_fc_head_behind_pooling_is_told_from_one_over_space(
    browser: Browser, pages: dict[str, Path]
) -> None:
    words = " ".join(browser.open(pages["pooled"]).texts("#weights article p"))
    assert "makes 7 values of 4: 28 parameters" in words
    assert "4 channels of 112x112, is pooled first" in words
    assert f"Over the flattened map it would need {7 * 4 * 112 * 112:,} weights" in words


@pytest.mark.parametrize("dark", [False, True])
def test_every_text_stands_out_from_what_is_behind_it(
    dark: bool, browser: Browser, pages: dict[str, Path]
) -> None:
    tab = browser.open(pages["over_space"], dark=dark)
    for selector in COLOURS:
        assert tab.contrast(selector) >= 4.5, selector  # WCAG 2, level AA


@pytest.mark.parametrize("width", [400, 800, 1600])
def test_a_page_is_never_wider_than_its_window(
    width: int, browser: Browser, pages: dict[str, Path]
) -> None:
    tab = browser.open(pages["over_space"], width)
    assert tab.value("document.documentElement.scrollWidth") <= width
