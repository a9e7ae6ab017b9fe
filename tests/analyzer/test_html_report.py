"""`anyres analyze --html`, opened in a browser and read as a person does."""

from __future__ import annotations

import base64
import json
import re
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import numpy_helper
from PIL import Image
from tests.analyzer.browser import CHROMIUM, Browser, Tab

from anyres_analyzer import analyze
from anyres_analyzer.report.compose import report
from anyres_client.main import main

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")

STRIDED = "[stem] a = Conv <pads=[1,1,1,1], strides=[2,2]> (x, k3) [mix] y = Conv (a, k1)"
U_NET = """
    [stem] a = Conv <pads=[1,1,1,1]> (x, k3)
    [pool] b = MaxPool <kernel_shape=[2,2], strides=[2,2]> (a)
    [up] c = Resize <mode="nearest"> (b, , two)
    [skip] d = Concat <axis=1> (a, c)
    [deep] e = Conv <pads=[1,1,1,1]> (d, deep3)
    [mix] y = Conv (e, k1)
"""
OVER_SPACE = """
    [stem] a = Conv <pads=[1,1,1,1], strides=[2,2]> (x, k3)
    [flat] b = Flatten (a)
    [head] c = Gemm <transB=1> (b, fc)
    [last] y = Gemm <transB=1> (c, fc2)
"""
POOLED = """
    [stem] a = Conv <pads=[1,1,1,1], strides=[2,2]> (x, k3)
    [pool] b = GlobalAveragePool (a)
    [flat] c = Flatten (b)
    [head] y = Gemm <transB=1> (c, fc3)
"""
SHAPES = {
    "k3": (4, 3, 3, 3),
    "k1": (6, 4, 1, 1),
    "deep3": (4, 8, 3, 3),
    "fc": (5, 4 * 8 * 8),
    "fc2": (3, 5),
    "fc3": (7, 4),
}
COLOURS = ".lead .about .finding .verdict .soft td code h2 .yes .no figcaption dt".split()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser.start(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A page of each model."""
    folder = tmp_path_factory.mktemp("pages")
    bodies = {"strided": STRIDED, "u_net": U_NET, "over_space": OVER_SPACE, "pooled": POOLED}
    models = {name: model(body) for name, body in bodies.items()}
    models["costless"] = model("y = MaxPool <kernel_shape=[2,2], strides=[2,2]> (x)", "n,3,h,64")
    return {name: page(folder, proto, name) for name, proto in models.items()}


def model(body: str, image: str = "n,3,h,w") -> onnx.ModelProto:
    """A graph from ONNX text, with random weights wherever it names one of `SHAPES`."""
    proto = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 18]> net (float[{image}] x) => (float y) '
        f"<float[4] two = {{1,1,2,2}}> {{ {body} }}"
    )
    draw = np.random.default_rng(0)
    for name, shape in SHAPES.items():
        if re.search(rf"\b{name}\b", body):
            weight = draw.normal(size=shape).astype(np.float32)
            proto.graph.initializer.append(numpy_helper.from_array(weight, name))
    return proto


def page(folder: Path, proto: onnx.ModelProto, name: str, *options: str) -> Path:
    source, written = folder / f"{name}.onnx", folder / f"{name}.html"
    onnx.save(proto, source)
    assert main(["analyze", str(source), "--html", str(written), *options]) == 0
    return written


def readout(tab: Tab) -> dict[str, str]:
    """What is said of the output pixel under the pointer."""
    return dict(zip(tab.texts(".readout dt"), tab.texts(".readout dd"), strict=True))


def box(tab: Tab, selector: str) -> list[float]:
    """x, y, width and height of a drawn rectangle, in the drawing's own units."""
    names = ("x", "y", "width", "height")
    found = f"document.querySelector({json.dumps(selector)})"
    return [float(tab.value(f"{found}.getAttribute('{name}') ?? 0")) for name in names]


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


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("name", ["strided", "u_net", "over_space", "costless"])
def test_a_page_loads_without_a_complaint_and_fetches_nothing(
    name: str, dark: bool, browser: Browser, pages: dict[str, Path]
) -> None:
    tab = browser.open(pages[name], dark=dark)
    assert tab.complaints == []
    assert [url for url in tab.fetched if not url.startswith("data:")] == [pages[name].as_uri()]
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", pages[name].read_text("utf-8"))


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


@pytest.mark.parametrize("dark", [False, True])
def test_every_text_stands_out_from_what_is_behind_it(
    dark: bool, browser: Browser, pages: dict[str, Path]
) -> None:
    tab = browser.open(pages["over_space"], dark=dark)
    for selector in COLOURS:
        assert tab.contrast(selector) >= 4.5, selector  # WCAG 2, level AA


def test_drawings_follow_the_scheme(browser: Browser, pages: dict[str, Path]) -> None:
    def stroke(dark: bool) -> str:
        tab = browser.open(pages["strided"], dark=dark)
        return str(tab.value("getComputedStyle(document.querySelector('.line')).stroke"))

    assert stroke(False) != stroke(True)


@pytest.mark.parametrize("width", [400, 800, 1600])
def test_a_page_is_never_wider_than_its_window(
    width: int, browser: Browser, pages: dict[str, Path]
) -> None:
    tab = browser.open(pages["over_space"], width)
    assert tab.value("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(
    ("options", "answer"),
    [
        (["--image", "photo.png"], "--image is for the page: give --html PATH too"),
        (["--html", "p.html", "--image", "no.png"], "no.png: No such file or directory"),
        (["--html", "p.html", "--image", "net.onnx"], "net.onnx is no picture that can be read"),
        (["--html", "p.html", "--image", "dot.png"], "dot.png is 1x1; the smallest image"),
        (["--html", "no/p.html"], "no/p.html: No such file or directory"),
        (["--html", "p.html", "--as", "thop"], "--as has no page"),
    ],
)
def test_what_cannot_be_drawn_gets_one_line(
    options: list[str],
    answer: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    onnx.save(model(U_NET), "net.onnx")
    Image.new("RGB", (1, 1)).save("dot.png")
    assert main(["analyze", "net.onnx", *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert answer in line


def test_without_the_extra_one_line_says_how_to_get_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    onnx.save(model(STRIDED), tmp_path / "net.onnx")
    monkeypatch.delitem(sys.modules, "anyres_analyzer.report.page.page", raising=False)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    written = tmp_path / "page.html"
    assert main(["analyze", str(tmp_path / "net.onnx"), "--html", str(written)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("pip install 'anyres[report]'")
