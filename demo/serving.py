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


@contextmanager
def served(models: Path) -> Iterator[str]:
    """Serve a folder of models; gives the address, stops the server at the end.

    Raises:
        RuntimeError: the server ended before it listened; its own words are on stderr.
    """
    anyres = Path(sys.executable).with_name("anyres")
    command = [str(anyres), "serve", str(models), "--host", "127.0.0.1", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield _address(process)
        finally:
            process.terminate()
            process.wait(STOPS_WITHIN_S)


def _address(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None, "a pipe was asked for"
    for line in process.stdout:
        if found := _LISTENING.search(line):
            return found[1]
    raise RuntimeError(f"the server ended with code {process.wait()} before it listened")
