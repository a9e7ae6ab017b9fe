"""`anyres serve --check`: everything is tried as a server would, nothing listens, and it ends."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from tests.server.command import run
from tests.server.constant import put


def test_what_would_be_served_is_a_table_and_exit_code_zero(
    models: Path, save_model: Any, capsys: Any
) -> None:
    save_model("unet", task="segmentation")
    put(models / "net" / "3" / "model.onnx", 1)
    with socket.socket() as taken:  # it does not listen, so a port that is taken is no matter
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        out = run(capsys, "serve", "--check", models, "--port", taken.getsockname()[1])
    assert (out.code, out.err) == (0, "")
    rows = [line.split() for line in out.out.splitlines()]
    assert rows[0] == ["model", "version", "served", "width", "height", "task", "runs", "with"]
    assert rows[1][:3] == ["net", "3", "yes"]
    assert rows[2][:3] == ["unet", "1", "yes"]
    assert rows[2][-3:] == ["segmentation", "cpu", "f32"]
    assert rows[-1] == "2 of 2 can be served".split()


def test_a_model_that_cannot_be_served_is_told_and_exit_code_one(models: Path, capsys: Any) -> None:
    put(models / "net.onnx", 1)
    (models / "broken.onnx").write_bytes(b"no")
    put(models / "told.onnx", 1)
    (models / "told.toml").write_text("max_batch = 1\n")
    out = run(capsys, "serve", "--check", models)
    assert out.code == 1
    lines = out.out.splitlines()
    assert [line.split()[:3] for line in lines[1:4:2]] == [
        ["broken", "1", "no"],
        ["told", "1", "no"],
    ]
    assert lines[4].startswith("broken 1: broken.onnx is not an ONNX model")
    assert lines[5].startswith("told 1: told.toml:1: there is no setting max_batch")
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
    models: Path, capsys: Any, arguments: list[str], said: str
) -> None:
    put(models / "net.onnx", 1)
    out = run(capsys, "serve", "--check", models, *arguments)
    assert out.code == 2
    (line,) = out.err.splitlines()
    assert said in line


def test_an_empty_folder_and_a_missing_one_are_told(
    models: Path, tmp_path: Path, capsys: Any
) -> None:
    empty = run(capsys, "serve", "--check", models)
    assert empty.code == 1
    assert "there are no models: expected <name>.onnx" in empty.out
    missing = run(capsys, "serve", "--check", tmp_path / "nowhere")
    assert missing.code == 2
    assert "there is no folder" in missing.err
