"""The page, through a browser: a picture is uploaded, seen, pointed at, faded and downloaded."""

from __future__ import annotations

import re
import shutil
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from numpy.typing import NDArray
from PIL import Image

from anyres_client import Client, Prediction
from anyres_client.saving import png

# One browser for all; it lives in one event loop.
pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WAIT_MS = 60_000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Any]:
    driver = pytest.importorskip("playwright.async_api", reason="nothing drives a browser")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"there is no browser: none of {', '.join(BROWSERS)}")
    async with driver.async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield chromium
        await chromium.close()


@pytest.fixture
def asked() -> list[str]:
    """The address of every request that the browser made."""
    return []


@pytest_asyncio.fixture(loop_scope="module")
async def page(shown_at: str, browser: Any, asked: list[str]) -> AsyncIterator[Any]:
    context = await browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(WAIT_MS)
    page = await context.new_page()
    page.on("request", lambda request: asked.append(request.url))
    await page.goto(shown_at)
    await page.wait_for_function("document.querySelector('#model input')?.value === 'brightest'")
    yield page
    await context.close()


async def upload(page: Any, path: Path) -> None:
    await page.set_input_files("#photo input[type=file]", str(path))
    await page.wait_for_selector('#viewer .stage:not([data-state="empty"])')


async def see_classes(page: Any, path: Path) -> None:
    """What nothing is known of but its graph is taken for a classifier, whose heat comes first."""
    await upload(page, path)
    await page.locator("[data-kind=classes]").click()


async def point(page: Any, x: int, y: int, size: tuple[int, int]) -> Any:
    """Put the pointer on a pixel of the picture; what is said there."""
    box = await page.locator("#viewer .over").bounding_box()
    width, height = size
    await page.mouse.move(
        box["x"] + (x + 0.5) / width * box["width"], box["y"] + (y + 0.5) / height * box["height"]
    )
    tip = page.locator("#viewer .tip.seen")
    return await tip.get_attribute("data-index"), await tip.inner_text()


@pytest.fixture
def expected(client: Client, pixels: NDArray[np.uint8]) -> Prediction:
    return client.predict(pixels, model="brightest", output=["classes", "confidence"])


async def test_an_upload_is_seen_in_its_classes_colours(
    page: Any, photo: Path, expected: Prediction
) -> None:
    await see_classes(page, photo)
    height, width = expected.image_size
    drawn = await page.evaluate(
        "([w, h]) => Array.from(document.querySelector('#viewer .over').getContext('2d')"
        ".getImageData(0, 0, w, h).data)",
        [width, height],
    )
    seen = np.array(drawn, np.uint8).reshape(height, width, 4)
    assert (seen[..., :3] == expected.palette[expected.classes]).all()
    assert (seen[..., 3] == 255).all()
    legend = await page.locator("#viewer .legend").inner_text()
    assert all(share.name in legend for share in expected.shares())


async def test_the_pointer_is_told_the_class_that_the_server_says_is_there(
    page: Any, photo: Path, expected: Prediction
) -> None:
    await upload(page, photo)
    for x, y in ((5, 5), (84, 5), (45, 33), (19, 20), (5, 55), (89, 59)):
        index, said = await point(page, x, y, (90, 60))
        there = int(expected.classes[y, x])
        assert int(index) == there
        assert expected.class_names[there] in said
        (percent,) = re.findall(r"(\d+) %", said)
        assert int(percent) == pytest.approx(expected.confidence[y, x] * 100, abs=1)
        assert f"{x}, {y}" in said


async def test_the_slider_fades_the_overlay_and_asks_nobody(
    page: Any, photo: Path, asked: list[str]
) -> None:
    await see_classes(page, photo)
    await page.wait_for_selector("#mask")
    await page.wait_for_load_state("networkidle")
    before = len(asked)
    for value in (25, 0, 100):
        await page.locator("#viewer .fade input").fill(str(value))
        opacity = await page.eval_on_selector(
            "#viewer .over", "over => getComputedStyle(over).opacity"
        )
        assert float(opacity) == value / 100
    await point(page, 5, 5, (90, 60))
    await page.locator("#viewer .entry").first.click()
    await page.locator("[data-kind=confidence]").click()
    assert asked[before:] == []


async def test_the_mask_that_is_downloaded_is_the_server_s_bit_for_bit(
    page: Any, photo: Path, expected: Prediction
) -> None:
    await upload(page, photo)
    async with page.expect_download() as download:
        await page.locator("#mask").click()
    mask = await download.value
    path = await mask.path()
    got = path.read_bytes()
    assert mask.suggested_filename == "patches.mask.png"
    assert got == png(expected.to_image_size(), expected.palette)
    assert (np.asarray(Image.open(BytesIO(got))) == expected.classes).all()


async def test_no_answer_comes_through_a_stream_that_may_be_closed_too_early(
    page: Any, photo: Path, asked: list[str]
) -> None:
    await upload(page, photo)
    assert [url for url in asked if "/queue/" in url] == []
    assert [url for url in asked if "/run/" in url]


async def test_the_page_asks_its_own_host_alone(
    page: Any, photo: Path, shown_at: str, asked: list[str]
) -> None:
    await upload(page, photo)
    await page.wait_for_load_state("networkidle")
    assert len(asked) > 10
    own = (shown_at, "data:", f"blob:{shown_at}")
    assert [url for url in asked if not url.startswith(own)] == []
    refused = await page.evaluate(
        """new Promise((done) => {
             addEventListener("securitypolicyviolation", (event) => done(event.blockedURI));
             fetch("http://127.0.0.1:9/").catch(() => {});
           })"""
    )
    assert refused == "http://127.0.0.1:9/"


async def test_route_cost_and_the_model_s_card_are_beside_it(page: Any, photo: Path) -> None:
    await upload(page, photo)
    cost = await page.locator("#cost").inner_text()
    assert "whole" in cost
    assert "90x60" in cost
    assert "estimated" in cost
    assert "measured" in cost
    assert "brightest" in await page.locator("#report").inner_text()


async def test_what_is_no_picture_is_answered_with_a_sentence(page: Any, tmp_path: Path) -> None:
    text = tmp_path / "letter.png"
    text.write_text("Dear Sir or Madam")
    await upload(page, text)
    problem = await page.locator("#viewer .problem").inner_text()
    assert problem.startswith("Cannot draw on this picture: ")
    assert problem.endswith(".")
    assert not await page.locator("#mask").is_visible()


async def test_an_example_is_one_click_away(page: Any) -> None:
    await page.get_by_role("button", name="Coffee").click()
    await page.wait_for_selector('#viewer .stage[data-state="shown"]')
    assert await page.eval_on_selector("#viewer .over", "over => [over.width, over.height]") == [
        600,
        400,
    ]


async def test_a_phone_shows_everything_in_one_column(page: Any, photo: Path) -> None:
    await page.set_viewport_size({"width": 390, "height": 844})
    await upload(page, photo)
    assert await page.evaluate("document.documentElement.scrollWidth") <= 390
    tops = [
        (await page.locator(name).bounding_box())["y"]
        for name in ("#photo", "#viewer", "#cost", "#report")
    ]
    assert tops == sorted(tops)
