"""Many images through one model: bounded in flight, whole files only, and never twice.

    images on disk -> read -> predict (a few in flight) -> results beside their names -> journal

An image that cannot be predicted is reported and skipped; a server that cannot be reached ends the
job. Run again, the job does what is left: an image counts as done where the journal says so of the
same file (size and time of change), model, version and options, and its results are there.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from anyres_client.answers import ModelSummary
from anyres_client.async_client import AsyncClient
from anyres_client.atomic import TEMPORARY
from anyres_client.errors import (
    ClientError,
    DeadlineExceeded,
    InvalidRequest,
    ModelNotFound,
    Overloaded,
    ServerFailed,
)
from anyres_client.journal import Journal, Line
from anyres_client.prediction import Prediction

SUFFIXES = frozenset(".png .jpg .jpeg .webp .tif .tiff .bmp".split())
SKIPPED = (InvalidRequest, Overloaded, DeadlineExceeded, ServerFailed)  # of one image; others end


@dataclass(frozen=True)
class Job:
    """What is to be done: every image below `source`, results below `out`."""

    source: Path
    out: Path
    model: str
    overlay: bool = False
    in_flight: int = 4


@dataclass(frozen=True)
class Outcome:
    """One image: its megapixels where it was predicted, or why it was not."""

    file: str
    megapixels: float = 0.0
    failure: str = ""


@dataclass(frozen=True)
class Summary:
    """The whole job."""

    done: int
    skipped: int
    failed: int


Begin = Callable[[int, int], None]  # images to do, images already done
Report = Callable[[Outcome], None]


def images(source: Path, out: Path) -> Iterator[Path]:
    """Every image file below a folder, sorted; links to folders and the output are not followed."""
    for folder, subfolders, files in os.walk(source, onerror=_unreadable):
        here = Path(folder)
        subfolders[:] = sorted(
            name
            for name in subfolders
            if not name.startswith(".") and (here / name).resolve() != out.resolve()
        )
        for name in sorted(files):
            hidden = name.startswith((".", TEMPORARY))
            if not hidden and Path(name).suffix.lower() in SUFFIXES:
                yield here / name


def _unreadable(error: OSError) -> NoReturn:
    raise InvalidRequest(f"cannot read {error.filename}: {error.strerror}") from error


async def run(job: Job, client: AsyncClient, begin: Begin, report: Report) -> Summary:
    """Do what is left of a job.

    Raises:
        ClientError: the folders or the model are wrong, or the server cannot be reached.
    """
    version = await _version(client, job.model)
    found = {str(path.relative_to(job.source)): path for path in _sources(job)}
    wanted = {file: _fingerprint(job, version, file, path) for file, path in found.items()}
    journal = _opened(job.out, wanted)
    left = [file for file in found if file not in journal.done]
    begin(len(left), len(journal.done))
    failures: list[Outcome] = []

    async def worker(files: Iterator[str]) -> None:
        for file in files:
            outcome = await _one(job, client, journal, wanted[file], found[file])
            if outcome.failure:
                failures.append(outcome)
            report(outcome)

    await _together(worker, iter(left), job.in_flight)
    return Summary(len(left) - len(failures), len(journal.done), len(failures))


async def _together(
    worker: Callable[[Iterator[str]], Any], files: Iterator[str], count: int
) -> None:
    """A few workers over one iterator; the first error of the job itself ends them all."""
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(worker(files))
    except* ClientError as errors:
        raise errors.exceptions[0] from None


async def _version(client: AsyncClient, name: str) -> str:
    """The version that will answer, so that another one is noticed."""
    models: dict[str, ModelSummary] = {model.name: model for model in await client.models()}
    if name not in models:
        raise ModelNotFound(f"there is no model {name!r}; there are {', '.join(models) or 'none'}")
    if not models[name].ready:
        raise ModelNotFound(f"model {name!r} is not ready: {models[name].reason}")
    return models[name].versions[-1]


def _sources(job: Job) -> Iterator[Path]:
    if not job.source.is_dir():
        raise InvalidRequest(f"{job.source} is no folder of images")
    if job.source.resolve().is_relative_to(job.out.resolve()):
        raise InvalidRequest(f"the results need a folder of their own: {job.out} holds the images")
    return images(job.source, job.out)


def _opened(out: Path, wanted: Mapping[str, Line]) -> Journal:
    journal = Journal(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        journal.open(keep=wanted)
    except OSError as error:
        raise _unwritable(out, error) from error
    return journal


def _unwritable(path: Path, error: OSError) -> InvalidRequest:
    return InvalidRequest(f"cannot write {path}: {error.strerror or error}")


def _fingerprint(job: Job, version: str, file: str, path: Path) -> dict[str, Any]:
    """What must be the same for a result to be the result still."""
    about = path.lstat() if path.is_symlink() and not path.exists() else path.stat()
    return {
        "file": file,
        "bytes": about.st_size,
        "changed_ns": about.st_mtime_ns,
        "model": job.model,
        "version": version,
        "overlay": job.overlay,
    }


async def _one(
    job: Job, client: AsyncClient, journal: Journal, line: dict[str, Any], path: Path
) -> Outcome:
    """Predict one image, write its results, then the journal's line about them."""
    file = str(line["file"])
    outputs = ("classes", "overlay") if job.overlay else ("classes",)
    try:
        encoded = await asyncio.to_thread(_read, path)
        prediction = await client.predict(
            encoded, model=job.model, version=line["version"], output=outputs
        )
        results = await asyncio.to_thread(_written, job, file, encoded, prediction)
    except SKIPPED as error:
        return Outcome(file, failure=str(error))
    try:
        journal.append(line | {"results": results} | prediction.summary(shares=10))
    except OSError as error:  # without its journal the job is lost: it ends here
        raise _unwritable(job.out, error) from error
    height, width = prediction.image_size
    return Outcome(file, megapixels=height * width / 1e6)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidRequest(f"cannot read it: {error.strerror or error}") from error


def _written(job: Job, file: str, encoded: bytes, prediction: Prediction) -> list[str]:
    """`a/cat.jpg` becomes `a/cat.jpg.classes.png`, so that `a/cat.png` finds its own place."""
    names = [f"{file}.classes.png"]
    try:
        (job.out / file).parent.mkdir(parents=True, exist_ok=True)
        prediction.save(job.out / names[0])
        if job.overlay:
            names.append(f"{file}.overlay.jpg")
            prediction.save(job.out / names[1], overlay_on=encoded)
    except OSError as error:
        raise _unwritable(job.out / file, error) from error
    return names
