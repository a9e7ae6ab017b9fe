"""What one image takes in ONNX Runtime, measured in this process: one JSON line.

    python benchmarks/resident.py MODEL.onnx HEIGHT WIDTH on|off

The kernel's high-water mark of resident memory is reset before the run (5 into clear_refs), so the
peak beyond what was there is the run's own. A smaller image goes first, for what is done once.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort

from anyres_analyzer import analyze

WARM = 64  # pixels of the first image, at least
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def resident(key: str) -> int:
    """VmRSS or VmHWM, in bytes."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) * 1024


def main(model: str, height: int, width: int, *, arena: bool) -> dict[str, int]:
    """Peak bytes of a run, and what stays after its outputs are gone."""
    options = ort.SessionOptions()
    options.enable_cpu_mem_arena = arena
    options.log_severity_level = 3
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    sizes, channels = analyze(model).sizes, session.get_inputs()[0].shape[1]
    name = session.get_inputs()[0].name
    warm = sizes.height.at_least(WARM), sizes.width.at_least(WARM)
    session.run(None, {name: np.ones((1, channels, *warm), np.float32)})
    image = np.ones((1, channels, height, width), np.float32)
    before = resident("VmRSS")
    CLEAR.write_text("5")
    outputs = session.run(None, {name: image})
    peak = resident("VmHWM")
    del outputs
    return {"peak": peak - before, "kept": resident("VmRSS") - before}


if __name__ == "__main__":
    model, height, width, arena = sys.argv[1:]
    print(json.dumps(main(model, int(height), int(width), arena=arena == "on")))
