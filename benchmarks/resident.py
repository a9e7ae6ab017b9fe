"""What images take in ONNX Runtime, measured in this process: one JSON line.

    python benchmarks/resident.py MODEL.onnx HEIGHT WIDTH on|off [THREADS]

Arena off: the kernel's high-water mark of resident memory is reset before each run (5 into
clear_refs), so the peak beyond what was there is the run's own; a smaller image goes first, for
what is done once. It is not square: memory patterns are kept under the exclusive or of all sides,
so every square image gets the block of the first. Arena on: what malloc has given out, before the
first run and after the second, because the arena reserves more than is ever written to. Weights,
session and image are there before either.
"""

from __future__ import annotations

import ctypes
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from anyres_analyzer import analyze

WARM = 64  # pixels of the first image, at least
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class _MallocInfo(ctypes.Structure):
    """glibc's struct mallinfo2."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


def given_out() -> int:
    """Bytes that malloc has given out and not got back, mapped or from its heap."""
    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = _MallocInfo
    found = mallinfo2()
    return int(found.hblkhd + found.uordblks)


def status(key: str) -> int:
    """VmRSS or VmHWM, in bytes."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) * 1024


def peak(session: ort.InferenceSession, image: NDArray[np.float32]) -> int:
    """Of one run, outputs included, beyond what was there."""
    before = status("VmRSS")
    CLEAR.write_text("5")
    session.run(None, {session.get_inputs()[0].name: image})
    return status("VmHWM") - before


def reserved(session: ort.InferenceSession, image: NDArray[np.float32]) -> int:
    """What the arena holds after two runs."""
    before = given_out()
    for _ in range(2):
        session.run(None, {session.get_inputs()[0].name: image})
    return given_out() - before


def main(model: str, height: int, width: int, *, arena: bool, threads: int) -> dict[str, int]:
    """Bytes: the first image of a size and one more, or what the arena holds after both."""
    options = ort.SessionOptions()
    options.enable_cpu_mem_arena = arena
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    graph = analyze(model)
    image = np.ones((1, graph.input.channels, height, width), np.float32)
    if arena:
        return {"reserved": reserved(session, image)}
    low = graph.sizes.height.at_least(WARM)
    wide = graph.sizes.width.at_least(low + 1)
    peak(session, np.ones((1, graph.input.channels, low, wide), np.float32))
    return {"first": peak(session, image), "again": peak(session, image)}


if __name__ == "__main__":
    model, height, width, arena, *threads = sys.argv[1:]
    count = int(threads[0]) if threads else 0  # 0: as many as there are cores
    print(json.dumps(main(model, int(height), int(width), arena=arena == "on", threads=count)))
