"""docs/server/scheduling.md: its settings are some, its commands run, its error is the server's."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from anyres_server.settings.per_model import ModelSettings
from anyres_server.settings.settings import Settings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "server" / "scheduling.md").read_text("utf-8")
SERVERS, MODELS = (tomllib.loads(shown) for shown in re.findall(r"```toml\n(.*?)```", PAGE, re.S))
COMMANDS = [line for line in PAGE.splitlines() if line.startswith("python -m ")]


def test_the_servers_settings_are_some(models: Path) -> None:
    settings = Settings.model_validate(SERVERS | {"models": models})
    assert settings.batching.max_delay_s == 0.002
    assert settings.memory.keep_freed == 2**30
    assert not settings.compute.spin


def test_a_models_settings_are_some() -> None:
    assert ModelSettings.model_validate(MODELS).max_queue_delay_s == 0.005


def test_an_eighth_of_the_budget_is_kept_if_nothing_is_said(models: Path) -> None:
    settings = Settings.model_validate({"models": models, "memory": {"budget": "1 GiB"}})
    assert settings.memory.keep_freed == 2**27


@pytest.mark.exhaustive
@pytest.mark.parametrize("command", COMMANDS)
def test_its_benchmarks_run(command: str, save_model: Any) -> None:
    *words, _ = shlex.split(command)
    words[0] = sys.executable
    few = ["--rounds", "1", *(["--images", "2"] if "wide" in command else [])]
    done = subprocess.run(
        [*words, *few, str(save_model("stride4"))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "stride4" in done.stdout
