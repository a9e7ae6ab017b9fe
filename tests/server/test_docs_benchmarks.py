"""The commands of docs/server/benchmarks.md run as they stand there, on less."""

from __future__ import annotations

import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs/server/benchmarks.md"
PROMPT = "$ "
COMMANDS = [
    line.removeprefix(PROMPT)
    for line in PAGE.read_text("utf-8").splitlines()
    if line.startswith(PROMPT)
]
# The later of two options counts.
LESS = {
    "bench": "--seconds 0.3 --clients 2 --sizes 64x64",
    "load": "--seconds 1 --size 64x64",
    "soak": "--requests 40 --sizes 16-64",
    "faults": "--times 1 --size 64x64",
    "hostile": "--examples 1",
}


def test_every_benchmark_has_its_command_on_the_page() -> None:
    assert sorted(LESS) == sorted(_name(command) for command in COMMANDS)


@pytest.mark.exhaustive
@pytest.mark.parametrize("command", COMMANDS)
def test_the_command_runs(command: str, save_model: Any, models: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "hostile" / f"pillow-{version('pillow')}").mkdir(parents=True)
    for name in ("unet", "stride4"):
        save_model(name)
    (models / "unet.onnx").rename(models / "climate_unet.onnx")
    (models / "stride4.onnx").rename(models / "mobilenet_v2_fcn.onnx")
    (out / "models").symlink_to(models)
    (out / "unet_16.onnx").symlink_to(models / "climate_unet.onnx")
    words = shlex.split(f"{command} {LESS[_name(command)]}")
    words[:1] = [sys.executable] + ([] if words[0] == "python" else ["-m", "anyres_client.main"])
    root = str(PAGE.parents[2])
    done = subprocess.run(
        words,
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join([root, *sys.path])},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "DOWN" not in done.stdout


def _name(command: str) -> str:
    words = command.split()
    return words[1] if words[0] == "anyres" else words[2].rpartition(".")[2]
