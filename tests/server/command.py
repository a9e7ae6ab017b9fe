"""`anyres serve` in this process, as far as it does not serve."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from typing import Any

import pytest

from anyres_client.main import main


@dataclass(frozen=True)
class Ran:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str


def run(capsys: Any, *arguments: object, columns: int = 160, **env: str) -> Ran:
    """Run `anyres` with nothing of ours in the environment but what is given."""
    capsys.readouterr()
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("ANYRES_")]:
            patch.delenv(name)
        for name, value in ({"COLUMNS": str(columns)} | env).items():
            patch.setenv(name, value)
        code = main([str(argument) for argument in arguments])
        logging.captureWarnings(capture=False)  # as it was
    said = capsys.readouterr()
    return Ran(code, said.out, said.err)
