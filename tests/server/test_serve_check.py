"""`anyres serve --check`: everything is tried as a server would, nothing listens, and it ends."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.server.constant import put


def check(*arguments: object) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ANYRES_")}
    return subprocess.run(
        [sys.executable, "-m", "anyres_client.main", "serve", "--check", *map(str, arguments)],
        env=clean | {"COLUMNS": "160"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_what_would_be_served_is_a_table_and_exit_code_zero(models: Path, save_model: Any) -> None:
    save_model("unet", task="segmentation")
    put(models / "net" / "3" / "model.onnx", 1)
    with socket.socket() as taken:  # it does not listen, so a port that is taken is no matter
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        out = check(models, "--port", taken.getsockname()[1])
    assert (out.returncode, out.stderr) == (0, "")
    rows = [line.split() for line in out.stdout.splitlines()]
    assert rows[0] == ["model", "version", "served", "width", "height", "task"]
    assert rows[1][:3] == ["net", "3", "yes"]
    assert rows[2][:3] == ["unet", "1", "yes"]
    assert rows[2][-1] == "segmentation"
    assert rows[-1] == "2 of 2 can be served".split()


def test_a_model_that_cannot_be_served_is_told_and_exit_code_one(models: Path) -> None:
    put(models / "net.onnx", 1)
    (models / "broken.onnx").write_bytes(b"no")
    put(models / "told.onnx", 1)
    (models / "told.toml").write_text("max_batch = 1\n")
    out = check(models)
    assert out.returncode == 1
    lines = out.stdout.splitlines()
    assert "broken.onnx is not an ONNX model" in lines[1]
    assert "told.toml:1: there is no setting max_batch" in lines[3]
    assert lines[-1].strip() == "1 of 3 can be served"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "memory.tile=x"], "--set memory.tile: memory.tile: expected bytes"),
        (["--set", "access.certificate=cert.pem"], "access.key"),
        (["--set", "access.tokens=tokens.toml"], "tokens"),
    ],
)
def test_a_setting_that_keeps_a_server_from_starting_is_exit_code_two(
    models: Path, arguments: list[str], said: str
) -> None:
    put(models / "net.onnx", 1)
    out = check(models, *arguments)
    assert out.returncode == 2
    (line,) = out.stderr.splitlines()
    assert said in line


def test_an_empty_folder_and_a_missing_one_are_told(models: Path, tmp_path: Path) -> None:
    empty = check(models)
    assert empty.returncode == 1
    assert "there are no models: expected <name>.onnx" in empty.stdout
    missing = check(tmp_path / "nowhere")
    assert missing.returncode == 2
    assert "there is no folder" in missing.stderr
