"""What makes a job the same job: `job.json` in the results' folder, and a lock on it."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeAlias

from anyres_client.async_client import AsyncClient
from anyres_client.errors import InvalidRequest, ModelNotFound, ModelNotReady
from anyres_client.jobs.job import Job
from anyres_client.jobs.patience import Patience
from anyres_proto.card import Card

NAME = "job.json"

Fingerprint: TypeAlias = Mapping[str, Any]


async def fingerprint(job: Job, client: AsyncClient) -> tuple[Fingerprint, str]:
    """What makes the job this job, and the version that will answer, so that another is noticed.

    A model that is being loaded is waited for, and so is a server that says that it starts.

    Raises:
        ClientError: there is no such model, or it never came.
    """
    patience = Patience(job.attempts, job.patience_s, met=False)
    version = await patience.ask(lambda: _version(job.model, client))
    card = await patience.ask(lambda: client.model(job.model, version))
    said = {
        "source": job.source_path,
        "model": job.model,
        "version": version,
        "card_sha256": _sha256(card),
        "overlay": job.overlay,
        "format": job.format,
        "labels": job.labels_path,
    }
    return said, version


async def _version(name: str, client: AsyncClient) -> str:
    models = {model.name: model for model in await client.models()}
    if name not in models:
        there = ", ".join(models) or "none"
        raise ModelNotFound(f"there is no model {name!r}; there are {there}")
    if not models[name].ready:
        raise ModelNotReady(f"model {name!r} is not ready: {models[name].reason}")
    return models[name].versions[-1]


def _sha256(card: Card) -> str:
    """What a model says about itself, its weights' digest included, as one number."""
    return hashlib.sha256(card.model_dump_json().encode()).hexdigest()


@dataclass(frozen=True)
class Place:
    """A folder that is this job's: whether what lies there counts.

    Until it is `settled` it is nobody's: whoever is killed while he forgets another job's results
    leaves none that count.
    """

    goes_on: bool
    _file: IO[bytes]
    _job: Fingerprint

    def settle(self) -> None:
        """From here on what lies there is this job's."""
        self._file.truncate(0)
        self._file.write(json.dumps(self._job, indent=2, sort_keys=True).encode() + b"\n")
        self._file.flush()


@contextmanager
def held(out: Path, job: Fingerprint, *, restart: bool) -> Iterator[Place]:
    """Keep the folder to oneself while the block runs.

    Raises:
        InvalidRequest: another job runs here, or has left its results.
    """
    path = out / NAME
    with path.open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InvalidRequest(f"another job is writing to {out}") from error
        before = _read(path)
        if before is not None and before != job and not restart:
            raise InvalidRequest(
                f"{out} holds another job's results ({_difference(before, job)}): "
                "give this one a folder of its own, or forget those with --restart"
            )
        goes_on = before == job and not restart
        if not goes_on:
            file.truncate(0)
        yield Place(goes_on, file, job)


def _read(path: Path) -> Fingerprint | None:
    """What is there; None where nothing is, or a kill has torn it before anything was done."""
    try:
        found = json.loads(path.read_bytes())
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _difference(before: Fingerprint, now: Fingerprint) -> str:
    changed = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    return ", ".join(f"{key} was {before.get(key)!r}, is {now.get(key)!r}" for key in changed)
