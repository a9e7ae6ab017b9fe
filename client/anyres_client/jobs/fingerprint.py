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

from anyres_client.errors import InvalidRequest
from anyres_proto.card import Card

NAME = "job.json"

Fingerprint: TypeAlias = Mapping[str, Any]


def card_sha256(card: Card) -> str:
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
