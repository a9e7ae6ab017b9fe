"""Files that are there whole or not at all, whatever happens while they are written."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

TEMPORARY = ".anyres-"  # how a name begins while its file is being written


@contextmanager
def replacing(path: Path, *, alone: bool = False) -> Iterator[IO[bytes]]:
    """A file to write to, beside `path`, that takes its place when the block ends well.

    Args:
        path: of the file.
        alone: whether nobody else writes it meanwhile. Then what a kill leaves behind has a name
            that follows from the file's, and goes when the file is written again.
    """
    token = _token(path) if alone else secrets.token_hex(6)
    temporary = path.with_name(f"{TEMPORARY}{token}{path.suffix}")
    if alone:
        temporary.unlink(missing_ok=True)
    try:
        with temporary.open("xb") as file:
            yield file
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _token(path: Path) -> str:
    return hashlib.blake2b(os.fsencode(path.name), digest_size=6).hexdigest()
