"""docs/server/providers.md: its settings are some, its commands run and say what is shown."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
from tests.server.command import Ran, run

from anyres_server.engine.providers import PROVIDERS, installed
from anyres_server.settings.per_model import ModelSettings
from anyres_server.settings.settings import Settings

PAGE = (Path(__file__).parents[2] / "docs" / "server" / "providers.md").read_text("utf-8")
SERVERS, MODELS = (tomllib.loads(shown) for shown in re.findall(r"```toml\n(.*?)```", PAGE, re.S))
(START, STARTED), (TUNE, TUNED) = re.findall(r"```console\n\$ anyres (.*?)\n(.*?)```", PAGE, re.S)


def shell(command: str, folder: Path, capsys: Any, monkeypatch: Any) -> Ran:
    monkeypatch.chdir(folder.parent)
    return run(capsys, *shlex.split(command))


def test_the_settings_that_are_shown_are_some(models: Path) -> None:
    assert Settings.model_validate(SERVERS | {"models": models}).compute.precision == "bf16"
    assert ModelSettings.model_validate(MODELS).threads == 2


def test_the_table_names_the_providers_their_extras_and_precisions() -> None:
    rows = re.findall(r"^\| `(\w+)`.*?anyres\[(\w+)\].*?\| (.*?) \|$", PAGE, re.M)
    assert {name: (extra, tuple(re.findall(r"`(\w+)`", ways))) for name, extra, ways in rows} == {
        name: (provider.extra, provider.precisions) for name, provider in PROVIDERS.items()
    }


@pytest.mark.skipif(installed() != ("cpu",), reason="another ONNX Runtime is installed")
def test_a_missing_provider_is_told_as_shown(
    models: Path, save_model: Any, capsys: Any, monkeypatch: Any
) -> None:
    save_model("stride4")
    out = shell(START, models, capsys, monkeypatch)
    assert out.code == 2
    assert out.err.splitlines()[-1] == STARTED.strip()


def test_tuning_prints_the_table_that_is_shown(
    models: Path, save_model: Any, capsys: Any, monkeypatch: Any
) -> None:
    save_model("stride4").rename(models / "climate_unet.onnx")
    command = f"{TUNE.replace('128-1024', '16-64').replace('40', '0.1')} --images 2"
    out = shell(command, models, capsys, monkeypatch)
    assert out.code == 0
    assert out.out.splitlines()[0].split() == TUNED.splitlines()[0].split()
    assert out.out.splitlines()[-1] == TUNED.splitlines()[-1]
