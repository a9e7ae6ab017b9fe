"""Asks a process of its own to run a model, and lives when that one dies."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from anyres_analyzer.errors import CannotVerify

Answer = Mapping[str, Any]
PATIENCE_S = 600.0


def ask(request: Mapping[str, Any]) -> Answer:
    """The child's answer; {"refused": why} where it died of the request.

    Raises:
        CannotVerify: ONNX Runtime is missing, cannot open the file, or does not come back.
    """
    if find_spec("onnxruntime") is None:
        raise CannotVerify(
            "--verify runs ONNX Runtime, which is not there: pip install onnxruntime"
        )
    command = [sys.executable, "-m", "anyres_analyzer.verify.child"]
    try:
        ended = subprocess.run(
            command,
            input=json.dumps(request),
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CannotVerify(f"ONNX Runtime did not come back within {PATIENCE_S:.0f} s") from error
    if ended.returncode < 0:
        name = signal.Signals(-ended.returncode).name
        return {"refused": f"its process was ended by {name}"}
    if ended.returncode:
        lines = ended.stderr.strip().splitlines() or ["it said nothing"]
        why = lines[-1].rpartition(" : ")[2]  # behind its class and code
        raise CannotVerify(f"ONNX Runtime cannot run the model: {why}")
    answer: Answer = json.loads(ended.stdout)
    return answer
