"""What docs/server/operations.md shows is run as it stands there, and its table is complete."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import socket
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from anyres_server.rpc.tokens import Rights, hashed, read_tokens
from anyres_server.settings.settings import Settings

PAGE = (Path(__file__).parents[2] / "docs" / "server" / "operations.md").read_text("utf-8")
SHOWN = re.compile(r"```sh\n(.*?)```", re.DOTALL)
METRIC = re.compile(r"^# TYPE (anyres_\w+)", re.MULTILINE)
SETTING = re.compile(r"`(access|limits|memory|observe)\.(\w+)\b")


def free_ports(count: int) -> list[int]:
    taken = [socket.socket() for _ in range(count)]
    for one in taken:
        one.bind(("127.0.0.1", 0))
    ports: list[int] = [one.getsockname()[1] for one in taken]
    for one in taken:
        one.close()
    return ports


async def bash(script: str, folder: Path) -> tuple[int | None, str, str]:
    pipe = asyncio.subprocess.PIPE
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    process = await asyncio.create_subprocess_exec(
        "bash", "-e", "-c", script, stdout=pipe, stderr=pipe, cwd=folder,
        env={"PATH": path, "PYTHONPATH": os.environ.get("PYTHONPATH", "")},
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, out.decode(), err.decode()


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("openssl") and shutil.which("curl")), reason="needs both")
async def test_the_five_minutes_run_as_they_stand_there(
    tmp_path: Path, models: Path, save_model: Any
) -> None:
    save_model("unet")
    Image.fromarray(np.zeros((300, 450, 3), np.uint8)).save(tmp_path / "photo.png")
    (script,) = SHOWN.findall(PAGE)
    for shown, ours in zip(("8001", "8002"), map(str, free_ports(2)), strict=True):
        script = script.replace(shown, ours)
    end = "trap 'kill %1; wait' EXIT"  # a server that is left would hold the pipes open
    without = "env -u ANYRES_TOKEN anyres predict photo.png --model unet 2>&1 || true"
    code, out, err = await bash(f"{end}\n{script}\n{without}", tmp_path)
    assert code == 0, err
    assert "photo.png  450x300" in out
    assert "this needs a token" in out
    assert 'anyres_requests_total{call="Predict",code="OK",model="unet"} 1.0' in out
    said = [json.loads(line) for line in (tmp_path / "server.log").read_text().splitlines()]
    lines = [line for line in said if line.get("call") == "Predict"]
    assert {(line["message"].split()[1], line.get("caller")) for line in lines} == {
        ("OK", "alice"),
        ("UNAUTHENTICATED", None),
    }
    in_tables = set(re.findall(r"`(anyres_\w+)`", PAGE.split("| metric |")[1]))
    assert set(METRIC.findall(out)) == in_tables
    printed = re.findall(r"^\w+", PAGE.split("```text\n")[1].split("```")[0], re.MULTILINE)
    assert all(f"\n{name}" in out for name in printed)


def test_every_setting_of_the_page_is_one() -> None:
    tables = Settings.model_fields
    for table, name in SETTING.findall(PAGE):
        kind: Any = tables[table].annotation
        assert name in kind.model_fields, f"{table}.{name}"


def test_the_file_of_tokens_is_one(tmp_path: Path) -> None:
    file = tmp_path / "tokens.toml"
    file.write_text(PAGE.split("```toml\n")[1].split("```")[0])
    (rights,) = read_tokens(file).values()
    assert (rights.models, rights.requests, rights.administers) == (("unet",), 4, False)


async def test_a_token_is_shown_once_and_its_hash_opens_the_server(tmp_path: Path) -> None:
    code, out, err = await bash("anyres token alice --model unet --requests 2", tmp_path)
    assert code == 0
    file = tmp_path / "tokens.toml"
    file.write_text(out)
    token = err.strip()
    assert read_tokens(file) == {
        "alice": Rights(sha256=hashed(token), models=("unet",), requests=2)
    }
    assert token not in out
    code, out, err = await bash(f"echo {token} | anyres token bob --given", tmp_path)
    assert (code, err) == (0, "")
    assert f'sha256 = "{hashed(token)}"' in out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("'two words'", "a name is up to 64 letters"),
        ("alice --requests 0", "requests: Input should be greater than or equal to 1"),
        ("alice --given < /dev/null", "stdin has no token; expected one line"),
    ],
)
async def test_a_token_that_cannot_be_made_is_one_line_and_exit_code_two(
    tmp_path: Path, words: str, told: str
) -> None:
    code, out, err = await bash(f"anyres token {words}", tmp_path)
    assert (code, out) == (2, "")
    assert err.startswith("anyres token: ")
    assert told in err
    assert len(err.splitlines()) == 1
