"""What makes a job the same job: `job.json` in the results' folder, and a lock on it."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from anyres_client.errors import InvalidRequest
from anyres_proto.card import Card

NAME = "job.json"

Fingerprint: TypeAlias = Mapping[str, Any]


def card_sha256(card: Card) -> str:
    """What a model says about itself, its weights' digest included, as one number."""
    return hashlib.sha256(card.model_dump_json().encode()).hexdigest()


@contextmanager
def held(out: Path, job: Fingerprint, *, restart: bool) -> Iterator[bool]:
    """Keep the folder to oneself while the block runs; whether what is there counts.

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
        if before != job:
            file.truncate(0)
            file.write(json.dumps(job, indent=2, sort_keys=True).encode() + b"\n")
            file.flush()
        yield before == job and not restart


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
