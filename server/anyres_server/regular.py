"""Regular files: whoever opens a pipe or a device waits for somebody who never writes."""

from __future__ import annotations

import errno
from pathlib import Path
from stat import S_ISREG


def check_regular(path: Path) -> None:
    """Refuse what is no file, before it is opened.

    Raises:
        OSError: it is none, or not there.
    """
    if not S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "it is no regular file", str(path))


def read_regular(path: Path) -> bytes:
    """A file's bytes.

    Raises:
        OSError: it is no regular file, or cannot be read.
    """
    check_regular(path)
    return path.read_bytes()
