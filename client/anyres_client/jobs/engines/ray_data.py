"""A job's images answered by Ray Data, on this machine's processors or on a cluster's.

    left -> parcels -> [a task of Ray's each: `worker`] -> answers, as they come -> settle

A parcel names files, or members of an archive, which every machine must find where this one does;
images that a source holds itself (a compressed archive, a table) travel in it. Workers keep nothing
that matters: a machine that is lost costs what was under way there, and Ray has that done
elsewhere. Only the process that began the job writes results.
"""

from __future__ import annotations

import asyncio
import logging
import pickle
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any

import ray
import ray.data
from ray.exceptions import RayError

from anyres_client.connection import Connection, Tls
from anyres_client.errors import ServerFailed, Unavailable
from anyres_client.jobs.answering import Answered, Question
from anyres_client.jobs.engines import Left, Settle
from anyres_client.jobs.engines.worker import ANSWERS, IMAGES, Worker
from anyres_client.jobs.job import Job

PARCEL = 4  # images for each that a worker has under way: what a task costs is shared by them
WAVE = 1024  # parcels; Ray Data wants to know all of a data set before it begins
SMALLEST_STORE = 2**27  # bytes of shared memory; Ray wants some
LOOK_S, TELL_S = 1.0, 10.0  # how often to look for a processor, and when to say so

log = logging.getLogger(__name__)


def join(job: Job) -> None:
    """Become part of a cluster, or start one; what Ray has to say is in its own logs.

    Raises:
        Unavailable: there is none.
    """
    how: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    if (address := job.ray_address) is None:
        store = max(SMALLEST_STORE, 2 * job.bytes_in_flight)  # images there, answers back
        ray.init(address="local", include_dashboard=False, object_store_memory=store, **how)
    else:
        try:
            ray.init(address=address, **how)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise Unavailable(f"cannot join Ray's cluster {address}: {error}") from error
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False


async def turn(job: Job) -> None:
    """Wait until a cluster of others lets something of this job run: a task that does nothing.

    Ray itself would wait for ever, and say nothing.

    Raises:
        Unavailable: it did not, for as long as the job is patient.
    """
    if job.ray_address is None:
        return
    first, began, told = ray.remote(num_cpus=1)(_nothing).remote(), monotonic(), False
    while not (await asyncio.to_thread(ray.wait, [first], timeout=LOOK_S))[0]:
        waited = monotonic() - began
        if waited >= TELL_S + job.patience_s:
            ray.cancel(first)
            raise Unavailable(f"{_no_processor(job)}, and was waited for (--patience)")
        if waited >= TELL_S and not told:
            log.warning("%s; waiting, for %g s at most", _no_processor(job), job.patience_s)
            told = True


def _nothing() -> None:
    """What shows that something runs."""


def _no_processor(job: Job) -> str:
    there, free = ray.cluster_resources(), ray.available_resources()
    processors = f"{free.get('CPU', 0):g} of its {there.get('CPU', 0):g} are free"
    return f"Ray's cluster {job.ray_address} has no processor for this job: {processors}"


def leave() -> None:
    """End the cluster that was begun, or be no longer part of the one that was joined."""
    ray.shutdown()


@dataclass(frozen=True)
class RayData:
    """Workers on the cluster, as many as it has processors and images may be under way."""

    connection: Connection
    timeout_s: float

    async def answer(self, question: Question, left: Left, settle: Settle) -> None:
        """See `Engine.answer`.

        Raises:
            ServerFailed: too much of the cluster was lost, or its machines are not as they should.
        """
        try:
            workers = min(question.job.in_flight, _processors())
            worker = self._worker(question, workers)
            while parcels := await asyncio.to_thread(_parcels, left, worker.question.job):
                answers = _answers(parcels, worker, workers)
                while (answered := await asyncio.to_thread(next, answers, None)) is not None:
                    await settle(answered)
        except RayError as error:
            raise _given_up(error) from error

    def _worker(self, question: Question, workers: int) -> Worker:
        """One of so many: each has its part of what may be under way."""
        job = question.job
        part = replace(
            job,
            in_flight=job.in_flight // workers,
            bytes_in_flight=max(1, job.bytes_in_flight // workers),
            labels=job.labels and job.labels.absolute(),
        )
        return Worker(replace(question, job=part), _anywhere(self.connection), self.timeout_s)


def _processors() -> int:
    there: dict[str, float] = ray.cluster_resources()
    return max(1, int(there.get("CPU", 1)))


def _anywhere(connection: Connection) -> Connection:
    """The same connection, whatever folder a process is in."""

    def whole(path: Path | None) -> Path | None:
        return path and path.absolute()

    if (tls := connection.tls) is None:
        return connection
    files = (tls.authorities, tls.certificate, tls.key)
    return replace(connection, tls=Tls(*map(whole, files)))


def _parcels(left: Left, job: Job) -> list[bytes]:
    """A wave of parcels; fewer, where they hold images and not names."""
    parcels: list[bytes] = []
    size = 0
    while len(parcels) < WAVE and size < job.bytes_in_flight:
        if not (images := left(PARCEL * job.in_flight)):
            break
        parcels.append(pickle.dumps(images))
        size += len(parcels[-1])
    return parcels


def _answers(parcels: list[bytes], worker: Worker, workers: int) -> Iterator[Answered]:
    """Answers as they come, in any order: a parcel is a block of its own."""
    rows = [{IMAGES: parcel} for parcel in parcels]
    asked = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
        worker, compute=ray.data.TaskPoolStrategy(size=workers)
    )
    for row in asked.iter_rows():
        yield from pickle.loads(row[ANSWERS])


def _given_up(error: RayError) -> ServerFailed:
    """Ray's errors are tracebacks from elsewhere: their last line says what it was."""
    said = [line for line in map(str.strip, str(error).splitlines()) if line]
    return ServerFailed(f"Ray could not go on: {said[-1] if said else type(error).__name__}")
