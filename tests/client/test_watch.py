"""`anyres watch`: what is there comes first, then what comes or changes; nothing comes twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from anyres_client.connection import Connection
from anyres_client.errors import InvalidRequest, ModelNotFound
from anyres_client.jobs.job import Job, Summary
from anyres_client.jobs.watching import watch

PATIENCE_S = 20


def put(path: Path, red: int) -> None:
    """An image that is there whole at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}")
    Image.fromarray(np.full((4, 5, 3), red, np.uint8)).save(fresh, "PNG")
    fresh.replace(path)


@asynccontextmanager
async def watching(fake: Any, folder: Path, out: Path) -> AsyncIterator[Any]:
    """Calls that wait for the next summary."""
    job = Job(str(folder), out, "zones")
    async with aclosing(watch(job, Connection(fake.address), 10.0)) as summaries:

        async def following() -> Summary:
            async with asyncio.timeout(PATIENCE_S):
                return await anext(summaries)

        yield following


def classes(path: Path) -> set[int]:
    return set(np.unique(np.asarray(Image.open(path))).tolist())


async def test_images_are_predicted_as_they_come_and_again_when_they_change(
    fake: Any, tmp_path: Path
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    put(folder / "a.png", 0)
    async with watching(fake, folder, out) as following:
        assert (await following()).done == 1
        later = asyncio.create_task(following())
        await asyncio.to_thread(put, folder / "deep" / "b.png", 128)
        summary = await later
        assert (summary.done, summary.skipped) == (1, 1)
        later = asyncio.create_task(following())
        await asyncio.to_thread(put, folder / "a.png", 255)
        assert (await later).done == 1
    (a,), (b,) = out.rglob("a*.png"), out.rglob("b*.png")
    assert (classes(a), classes(b)) == ({2}, {1})
    assert len(fake.requests) == 3


async def test_what_came_while_nobody_looked_is_made_up_for(fake: Any, tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    put(folder / "a.png", 0)
    for more in ("b.png", "c.png"):
        async with watching(fake, folder, out) as following:
            await following()
        put(folder / more, 128)
    async with watching(fake, folder, out) as following:
        summary = await following()
    assert (summary.done, summary.skipped) == (1, 2)
    assert len(fake.requests) == 3


async def test_results_within_the_folder_and_other_files_start_nothing(
    fake: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    put(folder / "a.png", 0)
    async with watching(fake, folder, folder / "out") as following:
        assert (await following()).done == 1
        later = asyncio.create_task(following())
        await asyncio.to_thread((folder / "notes.txt").write_text, "no image")
        await asyncio.to_thread(put, folder / "b.png", 128)
        summary = await later
        assert (summary.done, summary.skipped) == (1, 1)
    assert len(fake.requests) == 2


async def test_a_folder_or_a_model_that_is_not_there_is_told_at_once(
    fake: Any, tmp_path: Path
) -> None:
    with pytest.raises(InvalidRequest, match="there is no folder"):
        async with watching(fake, tmp_path / "nowhere", tmp_path / "out") as following:
            await following()
    job = Job(str(tmp_path), tmp_path / "out", "nobody")
    with pytest.raises(ModelNotFound):
        await anext(watch(job, Connection(fake.address), 10.0))
