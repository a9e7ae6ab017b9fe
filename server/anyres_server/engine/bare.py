"""ONNX Runtime as somebody uses it who needs no server: what a server is measured against.

Nobody knows beforehand which way of running a network is the fastest on a machine, so there is a
table of ways, and whoever compares tries them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort

from anyres_server.model import Array


@dataclass(frozen=True)
class Way:
    """One way of running a network: so many runs at once, each with so many threads."""

    at_once: int
    threads: int
    arena: bool
    spinning: bool = False

    def __str__(self) -> str:
        """In words."""
        runs = "one run" if self.at_once == 1 else f"{self.at_once} runs"
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        arena = "on" if self.arena else "off"
        return f"{runs} of {threads}, arena {arena}{', spinning' if self.spinning else ''}"


def ways(processors: int) -> tuple[Way, ...]:
    """Everything that may be the fastest on so many processors."""
    narrow = [Way(processors, 1, arena) for arena in (True, False)] if processors > 1 else []
    return (*wide_ways(processors), *narrow)


def wide_ways(processors: int) -> tuple[Way, ...]:
    """Those that may be the fastest for one image at a time."""
    spins = (False, True) if processors > 1 else (False,)
    return tuple(Way(1, processors, arena, spin) for arena in (True, False) for spin in spins)


class BareNetwork:
    """A network in one session; several threads may run it at once."""

    def __init__(self, session: ort.InferenceSession) -> None:
        self._session = session
        self._input: str = session.get_inputs()[0].name

    def __call__(self, images: Array, outputs: Sequence[str]) -> tuple[Array, ...]:
        """Run it; its outputs of these names."""
        answers = self._session.run(list(outputs), {self._input: images})
        return tuple(map(np.asarray, answers))


def open_bare(path: Path, way: Way) -> BareNetwork:
    """Load an ONNX file, to be run in a way on the CPU."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = way.threads
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = way.arena
    options.enable_mem_pattern = way.arena
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(way.spinning)))
    return BareNetwork(ort.InferenceSession(path, options, ["CPUExecutionProvider"]))
