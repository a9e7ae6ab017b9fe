"""A page takes nothing from elsewhere, and runs nothing of a model's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.analyzer.html_report.browser import Browser
from tests.analyzer.html_report.models import U_NET, model, page


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("name", ["strided", "u_net", "over_space", "costless"])
def test_a_page_loads_without_a_complaint_and_fetches_nothing(
    name: str, dark: bool, browser: Browser, pages: dict[str, Path]
) -> None:
    tab = browser.open(pages[name], dark=dark)
    assert tab.complaints == []
    assert [url for url in tab.fetched if not url.startswith("data:")] == [pages[name].as_uri()]
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", pages[name].read_text("utf-8"))


def test_a_name_is_text_whatever_it_says(browser: Browser, tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)> & \"'"
    proto = model(U_NET)
    proto.graph.node[0].name, proto.graph.node[3].name = evil, f"again {evil}"
    proto.graph.input[0].type.tensor_type.shape.dim[2].dim_param = evil
    tab = browser.open(page(tmp_path, proto, "evil"))
    assert tab.complaints == []
    assert tab.value("document.scripts.length") == 2
    assert tab.value("document.images.length") == 0
    assert tab.texts("#layer-table .name")[0] == evil
    assert any(evil in text for text in tab.texts("#sizes .node"))
    tab.value("document.querySelector('#memory-over-nodes .plot').focus()")
    tab.press("ArrowRight")  # the input
    tab.press("ArrowRight")
    assert tab.texts(".hint div")[0] == f"at '{evil}' (Conv)"


def test_a_script_that_slipped_in_would_not_run(browser: Browser, pages: dict[str, Path]) -> None:
    tab = browser.open(pages["strided"])
    tab.value(
        "document.body.append(Object.assign(document.createElement('script'), "
        "{ textContent: 'window.slipped = true' }))"
    )
    assert tab.value("window.slipped") is None
