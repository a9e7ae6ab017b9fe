"""A server in a process of its own, on a free port, for as long as a `with` block lasts."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STOPS_WITHIN_S = 20
_LISTENING = re.compile(r"listening on (\S+)")


MEMORY = "2GiB"  # so little that the largest picture goes in tiles


@contextmanager
def served(models: Path, log: Path, *, memory: str = MEMORY) -> Iterator[str]:
    """Serve a folder of models; gives the address, stops the server at the end.

    Args:
        models: the folder.
        log: the file that gets the server's log.
        memory: what it plans with, as `--memory-budget` takes it.

    Raises:
        RuntimeError: the server ended before it listened; its own words are in `log`.
    """
    anyres = Path(sys.executable).with_name("anyres")
    command = [str(anyres), "serve", str(models), "--host", "127.0.0.1", "--port", "0"]
    command += ["--memory-budget", memory]
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        log.open("w") as words,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=words, text=True) as process,
    ):
        try:
            yield _address(process, log)
        finally:
            process.terminate()
            process.wait(STOPS_WITHIN_S)


def _address(process: subprocess.Popen[str], log: Path) -> str:
    assert process.stdout is not None, "a pipe was asked for"
    for line in process.stdout:
        if found := _LISTENING.search(line):
            return found[1]
    code = process.wait()
    raise RuntimeError(f"the server ended with code {code} before it listened; see {log}")
