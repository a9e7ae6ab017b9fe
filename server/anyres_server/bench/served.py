"""A server in a process of its own, as people start it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO

from anyres_server.errors import StartFailed

LISTENING = "listening on "
STOP_S = 40.0  # for a server that finishes what it has begun


@dataclass(frozen=True)
class Served:
    """A server that listens."""

    address: str
    process: subprocess.Popen[str]


@contextmanager
def serving(models: Path, environment: Mapping[str, str] | None = None) -> Iterator[Served]:
    """Serve a folder's models on a free port until the block ends.

    Raises:
        StartFailed: it did not come up; its last words say why.
    """
    command = [sys.executable, "-m", "anyres_client.main", "serve", str(models), "--port", "0"]
    with TemporaryFile("w+", encoding="utf-8") as words:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=words,
            text=True,
            env={**os.environ, "ANYRES_OBSERVE_LOG_LEVEL": "warning", **(environment or {})},
        )
        try:
            yield Served(_address(process, words), process)
        finally:
            _stop(process)


@contextmanager
def folder_of(model: Path) -> Iterator[Path]:
    """A models' folder with this model alone, and what lies beside it under its name."""
    with TemporaryDirectory(prefix="anyres-") as name:
        folder = Path(name)
        for path in model.parent.glob(f"{model.stem}.*"):
            _link(path, folder / path.name)
        yield folder


def _link(path: Path, to: Path) -> None:
    try:
        to.hardlink_to(path.resolve())
    except OSError:  # another file system
        shutil.copyfile(path, to)


def _address(process: subprocess.Popen[str], words: IO[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    if not line.startswith(LISTENING):
        process.wait(STOP_S)
        words.seek(0)
        raise StartFailed(f"the server did not start: {words.read().strip()[-500:]}")
    return line.removeprefix(LISTENING)


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    assert process.stdout is not None
    process.stdout.close()
