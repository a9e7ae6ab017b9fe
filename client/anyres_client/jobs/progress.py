"""A job as one watches it: a bar on stderr, failures as they come, a summary at the end."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from dataclasses import asdict
from threading import Thread

from anyres_client.async_client import AsyncClient
from anyres_client.bar import Bar
from anyres_client.connection import Connection
from anyres_client.errors import ClientError, InvalidRequest
from anyres_client.jobs import sources
from anyres_client.jobs.job import Job, Outcome, Summary
from anyres_client.jobs.running import run


class Watched:
    """Shows a job's progress."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._bar = Bar(job.model)

    def begin(self, done: int) -> None:
        """Show the bar, and find out meanwhile how many images there are."""
        self._bar.begin(done)
        if self._bar.drawn:
            Thread(target=self._count, daemon=True).start()

    def report(self, outcome: Outcome) -> None:
        """Count an image; say why, where it failed."""
        self._bar.advance(None if outcome.failure else outcome.megapixels)
        if outcome.failure:
            self.say(f"{outcome.file}: skipped: {outcome.failure}")

    def say(self, line: str) -> None:
        """One line on stderr."""
        self._bar.say(line)

    def end(self) -> None:
        """Take the bar away."""
        self._bar.end()

    def _count(self) -> None:
        with suppress(ClientError, OSError, ModuleNotFoundError):  # the job itself says so
            self._bar.expect(sources.count(self._job.source, self._job.out))


async def run_with_progress(
    job: Job, connection: Connection, timeout_s: float, *, as_json: bool
) -> Summary:
    """Run a job and show it.

    Raises:
        ClientError: see `anyres_client.jobs.running.run`; InvalidRequest where there is no image.
    """
    async with AsyncClient(connection, timeout=timeout_s) as client:
        summary, watched = await shown(job, client)
    if not (summary.done or summary.skipped or summary.failed):
        raise InvalidRequest(f"there is no image in {job.source}")
    _tell(job, summary, watched, as_json=as_json)
    return summary


async def shown(job: Job, client: AsyncClient) -> tuple[Summary, Watched]:
    """Run a job, with its bar and its failures on stderr."""
    watched = Watched(job)
    try:
        return await run(job, client, watched.begin, watched.report), watched
    finally:
        watched.end()


def _tell(job: Job, summary: Summary, watched: Watched, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(asdict(summary)) + "\n")
        return
    watched.say(
        f"{summary.done} predicted, {summary.skipped} done before, {summary.failed} failed; "
        f"results in {job.out}"
    )
    if summary.scores is not None:
        watched.say(
            f"mean IoU {summary.scores.mean_iou:.2%}, "
            f"pixel accuracy {summary.scores.pixel_accuracy:.2%}"
        )
