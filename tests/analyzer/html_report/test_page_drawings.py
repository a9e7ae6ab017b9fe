"""What is drawn, and read off with a pointer or arrow keys."""

from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path

from PIL import Image
from tests.analyzer.html_report.browser import Browser
from tests.analyzer.html_report.models import U_NET, box, model, page, readout


def test_cost_is_drawn_over_sizes_and_read_off_exactly(
    browser: Browser, pages: dict[str, Path]
) -> None:
    tab = browser.open(pages["strided"])
    tab.hover("#macs-over-size .plot", across=0.7)
    (size,) = tab.texts(".hint b")
    width, height = map(int, size.split("x"))
    assert width == height
    assert f"{(-(-width // 2)) ** 2 * (4 * 27 + 6 * 4):,} MACs" in tab.texts(".hint div")
    for chart in ("macs-over-size", "memory-over-size", "memory-over-nodes"):
        assert tab.value(f"document.querySelector('#{chart} .line').getTotalLength()") > 100


def test_memory_is_read_off_node_by_node(browser: Browser, pages: dict[str, Path]) -> None:
    tab = browser.open(pages["strided"])
    tab.value("document.querySelector('#memory-over-nodes .plot').focus()")
    image, stem, mix = 4 * 3 * 224**2, 4 * 4 * 112**2, 4 * 6 * 112**2
    for alive in (image, image + stem, image + stem + mix):
        tab.press("ArrowRight")
        (shown,) = tab.texts(".hint b")
        assert shown.startswith(f"{alive:,} bytes")


def test_a_pinned_axis_stays_while_the_other_grows(
    browser: Browser, pages: dict[str, Path]
) -> None:
    tab = browser.open(pages["costless"])
    tab.hover("#macs-over-size .plot", across=0.98)
    assert tab.texts(".hint b") == ["64x4096"]
    assert tab.texts(".hint div") == ["0 MACs", "output 1 x 3 x 2048 x 32"]


def test_arrow_keys_read_a_chart_too(browser: Browser, pages: dict[str, Path]) -> None:
    tab = browser.open(pages["strided"])
    tab.value("document.querySelector('#macs-over-size .plot').focus()")
    tab.press("ArrowRight")
    assert (tab.texts(".hint b"), tab.texts(".hint div")[0]) == (["1x1"], "132 MACs")


def test_both_axes_turn_linear_at_a_click(browser: Browser, pages: dict[str, Path]) -> None:
    tab = browser.open(pages["strided"])
    before = tab.texts("#macs-over-size svg text")
    assert {"1", "4,096"} <= set(before)
    tab.click("[data-scale=linear]")
    assert "0" in tab.texts("#macs-over-size svg text")
    assert tab.texts("[aria-pressed=true]") == ["linear"]


def test_the_receptive_field_follows_the_pointer(browser: Browser, pages: dict[str, Path]) -> None:
    tab = browser.open(pages["strided"])
    tab.hover(".stage svg", across=100.5 / 256, down=201 / 256)
    # A 3x3 convolution of stride 2, padded by 1: output o sees 2 o - 1 .. 2 o + 1.
    assert readout(tab) == {
        "output pixel": "column 50, row 100 of 128x128",
        "sees": "3 x 3 pixels",
        "columns": "99 to 101",
        "rows": "199 to 201",
    }
    assert box(tab, ".stage .seen") == [99, 199, 3, 3]
    veil = tab.value("document.querySelector('.stage .veil').getAttribute('d')")
    assert veil == "M0 0H256V256H0ZM99 199h3v3h-3Z"


def test_arrow_keys_move_the_output_pixel_and_stop_at_the_border(
    browser: Browser, pages: dict[str, Path]
) -> None:
    tab = browser.open(pages["strided"])
    tab.hover(".stage svg", across=0, down=0.5)
    tab.value("document.querySelector('.stage .picture').focus()")
    tab.press("ArrowDown")
    tab.press("ArrowLeft")
    assert readout(tab)["output pixel"] == "column 0, row 65 of 128x128"
    assert readout(tab)["columns"] == "-1 to 1, 1 of them outside the image"


def test_phases_that_see_differently_are_drawn_each(
    browser: Browser, pages: dict[str, Path]
) -> None:
    tab = browser.open(pages["u_net"])
    assert tab.value("document.querySelectorAll('.strip rect').length") == 2
    # The pool's pixel j is seen by c[2 j] and c[2 j + 1] and sees a 4-pixel stretch of the image
    # from 2 j - 1 on; `deep` reads c[o - 1 .. o + 1], so an even o sees o - 3 .. o + 2.
    tab.hover(".stage svg", across=100.5 / 256)
    assert readout(tab)["columns"] == "97 to 102"
    tab.hover(".stage svg", across=101.5 / 256)
    assert readout(tab)["columns"] == "99 to 104"
    assert readout(tab)["phase"].startswith("1, ")


def test_the_tile_is_drawn_to_scale(browser: Browser, pages: dict[str, Path]) -> None:
    tab = browser.open(pages["u_net"])
    tab.value(
        "(s => { s.value = s.max; s.dispatchEvent(new Event('input')) })"
        "(document.querySelector('.slider input'))"
    )
    # Halos of 3 pixels, and 2 after, on an alignment of 2: a core of 4096 lies in 4 + 4096 + 4.
    assert box(tab, ".core") == [4, 4, 4096, 4096]
    assert box(tab, ".halo") == [0, 0, 4104, 4104]
    assert "4104x4104 px go in" in tab.texts(".price dd")


def test_the_field_is_drawn_on_a_photograph_cut_to_what_the_model_takes(
    browser: Browser, tmp_path: Path
) -> None:
    photo = tmp_path / "photo.png"
    Image.new("RGB", (101, 64), (200, 30, 30)).save(photo)
    written = page(tmp_path, model(U_NET), "u_net", "--image", str(photo))
    tab = browser.open(written)
    assert tab.complaints == []
    assert "cut from 101x64 to 100x64" in tab.texts("#field .about")[0]
    uri = tab.value("document.querySelector('.stage image').getAttribute('href')")
    kind, _, content = uri.partition(",")
    shown = Image.open(BytesIO(base64.b64decode(content)))
    assert (kind, shown.size) == ("data:image/jpeg;base64", (100, 64))
    assert readout(tab)["output pixel"] == "column 50, row 32 of 100x64"


def test_drawings_follow_the_scheme(browser: Browser, pages: dict[str, Path]) -> None:
    def stroke(dark: bool) -> str:
        tab = browser.open(pages["strided"], dark=dark)
        return str(tab.value("getComputedStyle(document.querySelector('.line')).stroke"))

    assert stroke(False) != stroke(True)
