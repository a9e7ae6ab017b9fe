"""Somebody who types what a page says, in a folder of their own.

What `anyres serve FOLDER` starts is a real server on a free port, which what follows then asks: the
port that the page names may be taken. `make` only has to have such a target: tests are run by it.
"""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tests.docs.blocks import Block

ADDRESS = "localhost:8001"  # that the pages name
WITHIN_S = 120
SERVE = re.compile(r"anyres serve (\S+)(?: --port 8001)?(?: --memory-budget (\S+))?\n")
Serve = Callable[[Path, str | None], str]  # a folder of models and a budget; gives the address


@dataclass(frozen=True)
class Reader:
    """Where they are, and what they have been served at."""

    folder: Path
    serve: Serve
    address: str = ADDRESS

    def follow(self, block: Block) -> Reader:
        """Do what a block says; an AssertionError says where the page is wrong."""
        if block.not_run is not None:
            return self
        if block.title:
            (self.folder / block.title).write_text(block.text)
            return self
        if block.text.startswith("anyres serve "):
            return self._served(block)
        output = self._interrupted(block) if block.endless else self._run(block)
        shown = block.prints.text if block.prints else ""
        assert not block.prints or block.prints.matches(output), (
            f"{block.place}: the page shows\n{shown}\nand this was printed\n{output}"
        )
        return self

    def _served(self, block: Block) -> Reader:
        found = SERVE.fullmatch(block.text)
        assert found, f"{block.place}: a server is served by a line like {SERVE.pattern}"
        return replace(self, address=self.serve(self.folder / found[1], found[2]))

    def _run(self, block: Block) -> str:
        done = subprocess.run(
            self._command(block),
            cwd=self.folder,
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=WITHIN_S,
        )
        said = f"{block.place}: exits with {done.returncode}, not {block.exit_code}:\n{done.stdout}"
        assert done.returncode == block.exit_code, said
        return self._as_shown(done.stdout)

    def _interrupted(self, block: Block) -> str:
        shown = block.prints
        assert shown is not None, f"{block.place}: what goes on for ever must show what it prints"
        with subprocess.Popen(
            self._command(block),
            cwd=self.folder,
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process:
            output = _until(process, lambda said: shown.matches(self._as_shown(said)))
            os.killpg(process.pid, signal.SIGINT)
            rest, _ = process.communicate(timeout=WITHIN_S)
        said = f"{block.place}: Ctrl-C ends it with {process.returncode}:\n{output}{rest.decode()}"
        assert process.returncode == block.exit_code, said
        return self._as_shown(output)

    def _as_shown(self, output: str) -> str:
        return output.replace(self.address, ADDRESS)

    def _command(self, block: Block) -> list[str]:
        text = block.text.replace(ADDRESS, self.address)
        if block.language == "python":
            return [sys.executable, "-c", text]
        return ["bash", "-euo", "pipefail", "-c", text]

    def _environment(self) -> Mapping[str, str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        ours = {"PATH": path, "COLUMNS": "100", "ANYRES_SERVER": self.address}
        kept = {k: v for k, v in os.environ.items() if not k.startswith("ANYRES_")}
        return kept | ours


def _until(process: subprocess.Popen[bytes], enough: Callable[[str], bool]) -> str:
    """What it prints, until that is enough, or it ends, or takes too long."""
    assert process.stdout is not None, "a pipe was asked for"
    output, end = b"", time.monotonic() + WITHIN_S
    while not enough(output.decode(errors="replace")):
        ready, _, _ = select.select([process.stdout], [], [], max(0, end - time.monotonic()))
        more = os.read(process.stdout.fileno(), 65536) if ready else b""
        if not more:
            break
        output += more
    return output.decode(errors="replace")


def targets(block: Block) -> list[str]:
    """The targets that a block asks of `make`."""
    return re.findall(r"^make (\S+)", block.text, re.MULTILINE)
