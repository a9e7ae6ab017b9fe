"""Many images through one model: a bounded number of images and bytes under way, never one twice.

    source -> what is left -> engine -> sink, journal

An engine reads and asks; what it answers is kept here, whichever it is. An image that cannot be
predicted goes to failures.jsonl and the others go on; a server that stays away ends the job. Run
again, the job does what is left: an image counts as done where the journal says so of the same file
and its results are there.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from anyres_client.async_client import AsyncClient
from anyres_client.errors import (
    ClientError,
    DeadlineExceeded,
    InvalidRequest,
    Overloaded,
    ServerFailed,
)
from anyres_client.jobs import sources
from anyres_client.jobs.answering import Answer, Answered, Failure, Question
from anyres_client.jobs.engines import Engine
from anyres_client.jobs.engines.here import Here
from anyres_client.jobs.fingerprint import fingerprint, held
from anyres_client.jobs.items import Found, Item, Unusable
from anyres_client.jobs.job import Job, Outcome, Summary
from anyres_client.jobs.journal import FAILURES, RESULTS, Journal, digest
from anyres_client.jobs.scores import Scores, scores
from anyres_client.jobs.shards import PARQUET, TAR, Shards
from anyres_client.jobs.sinks import Folder, Sink

SKIPPED = (InvalidRequest, Overloaded, DeadlineExceeded, ServerFailed)  # of one image; others end
FATAL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}  # nothing more can be written

Begin: TypeAlias = Callable[[int], None]  # images done before
Report: TypeAlias = Callable[[Outcome], None]


async def run(job: Job, client: AsyncClient, begin: Begin, report: Report) -> Summary:
    """Do what is left of a job.

    Raises:
        ClientError: the source, the folder or the model are wrong, or the server stays away.
    """
    async with _engine(job, client) as engine:
        return await _run(job, client, engine, begin, report)


@asynccontextmanager
async def _engine(job: Job, client: AsyncClient) -> AsyncIterator[Engine]:
    match job.engine:
        case "local":
            yield Here(client)
        case "ray":
            from anyres_client.jobs.engines.on_ray import on_ray

            async with on_ray(job, client.connection, client.timeout) as engine:
                yield engine


async def _run(
    job: Job, client: AsyncClient, engine: Engine, begin: Begin, report: Report
) -> Summary:
    said, version = await fingerprint(job, client)
    running = _Running(job, sources.found(job.source, job.out), report)
    try:
        with ExitStack() as stack:
            job.out.mkdir(parents=True, exist_ok=True)
            place = stack.enter_context(held(job.out, said, restart=job.restart))
            running.open(goes_on=place.goes_on)
            place.settle()
            stack.callback(running.close)
            begin(len(running.journal))
            await engine.answer(Question(job, version), running.left, running.settle)
        return running.summary()
    except OSError as error:  # wherever it was, at the end too, nothing is lost that was done
        raise unwritable(job.out, error) from error


def unwritable(path: Path, error: OSError) -> InvalidRequest:
    """A file or folder that cannot be written, in words."""
    if path.is_file() and isinstance(error, FileExistsError | NotADirectoryError):
        return InvalidRequest(f"cannot write to {path}: it is a file, and results need a folder")
    return InvalidRequest(f"cannot write {path}: {error.strerror or error}")


class NoRoom(ClientError):
    """Nothing more can be written: the disk is full or read-only."""


@dataclass
class _Running:
    """A job under way: it knows what is left, keeps what is answered, and counts."""

    job: Job
    found: Iterator[Found]
    report: Report
    done: int = 0
    skipped: int = 0
    failed: int = 0
    _labelled: set[bytes] = field(default_factory=set)  # names, as digests
    _names: set[bytes] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Nothing is opened yet."""
        out = self.job.out
        self.journal = Journal(out / RESULTS)
        self.failures = Journal(out / FAILURES)
        self.sink = _sink(self.job, self.journal)

    def open(self, *, goes_on: bool) -> None:
        """Read what is done; forget it where this is another job."""
        self.sink.open()
        self.journal.open(self.sink.holds, self.sink.drop)
        if not goes_on:
            _forget(self.job.out, self.journal)
            self.sink = _sink(self.job, self.journal)
        self.failures.forget()

    def close(self) -> None:
        """Finish what is begun."""
        self.sink.close()
        self.journal.close(self.sink.drop)

    def left(self, count: int) -> list[Found]:
        """The next images that are not done."""
        batch: list[Found] = []
        for each in map(self._once, self.found):
            if isinstance(each, Item) and self.journal.has(each.name, each.stamp):
                self.skipped += 1
                self._count(each.name)
            else:
                batch.append(each)
            if len(batch) == count:
                break
        return batch

    def _once(self, each: Found) -> Found:
        """An image; or what to say of it, where one before it has its name."""
        name = digest(each.name)
        if name in self._names:
            return Unusable(each.name, "another image of this job has its name")
        self._names.add(name)
        return each

    def _count(self, name: str) -> None:
        """Let an image's counts be part of the scores."""
        if self.job.labels is not None:
            self._labelled.add(digest(name))

    async def settle(self, answered: Answered) -> None:
        """Keep an answer, or note why there is none.

        Raises:
            ClientError: what ends the job.
        """
        outcome = await asyncio.to_thread(self._outcome, answered)
        if outcome.failure:
            self.failed += 1
            self.failures.append(
                {"file": outcome.file, "error": outcome.error, "reason": outcome.failure}
            )
        else:
            self.done += 1
            self._count(outcome.file)
        self.report(outcome)

    def _outcome(self, answered: Answered) -> Outcome:
        try:
            if isinstance(answered, Failure):
                raise answered.error
            self._keep(answered)
        except SKIPPED as error:
            return Outcome(answered.file, failure=str(error), error=type(error).__name__)
        return Outcome(answered.file, megapixels=answered.megapixels)

    def _keep(self, answer: Answer) -> None:
        try:
            self.sink.add(answer.line, answer.files)
        except OSError as error:
            if error.errno in FATAL:
                raise NoRoom(str(unwritable(self.job.out, error))) from error
            raise unwritable(self.job.out / answer.file, error) from error

    def summary(self) -> Summary:
        """How it went; to be asked once it is closed."""
        return Summary(self.done, self.skipped, self.failed, self._scores())

    def _scores(self) -> Scores | None:
        if not self._labelled:
            return None
        lines = (line for line in self.journal.lines() if digest(line["file"]) in self._labelled)
        return scores(line["counts"] for line in lines)


def _sink(job: Job, journal: Journal) -> Sink:
    match job.format:
        case "folder":
            return Folder(job.out, journal)
        case "tar":
            return Shards(TAR, job.out, journal, job.shard_size)
        case "parquet":
            return Shards(PARQUET, job.out, journal, job.shard_size)


def _forget(out: Path, journal: Journal) -> None:
    """Remove what another job has written here, as far as its journal speaks of it."""
    for line in journal.lines():
        for name in {*line.get("results", []), *filter(None, [line.get("shard")])}:
            (out / name).unlink(missing_ok=True)
    journal.forget()
