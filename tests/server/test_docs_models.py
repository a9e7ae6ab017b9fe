"""What docs/server says of models and configuration, run as it stands there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from tests.server.constant import put

from anyres_server.repository.files import contents
from anyres_server.settings.per_model import ModelSettings

DOCS = Path(__file__).parents[2] / "docs" / "server"
MODELS, CONFIGURATION = ((DOCS / f"{n}.md").read_text("utf-8") for n in ("models", "configuration"))
CONSOLE = re.compile(r"^```console\n\$ (.*?)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder that the page draws."""
    put(tmp_path / "models" / "unet.onnx", 1)
    put(tmp_path / "models" / "roads" / "1" / "model.onnx", 1)
    broken = tmp_path / "models" / "roads" / "2" / "model.onnx"
    broken.parent.mkdir()
    broken.write_bytes(b"no")
    return tmp_path


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    program, *arguments = shlex.split(command)
    assert program == "anyres"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ANYRES_")}
    return subprocess.run(
        [sys.executable, "-m", "anyres_client.main", *arguments],
        cwd=folder,
        env=clean | {"COLUMNS": "110"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_folder_that_is_drawn_is_read_as_it_says(folder: Path) -> None:
    drawing = MODELS.split("```text\n")[1].split("```")[0]
    for line in drawing.splitlines():
        path = folder / line.split()[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = contents(folder / "models").models
    assert {name: [each.version for each in versions] for name, versions in found.items()} == {
        "roads": ["1", "2"],
        "unet": ["1"],
    }
    (unet,) = found["unet"]
    assert {file.name for file in unet.files} == {"unet.onnx", "unet.onnx.data", "unet.toml"}


def test_the_check_that_is_shown_prints_what_is_shown(folder: Path) -> None:
    ((command, shown),) = CONSOLE.findall(MODELS)
    out = run(command, folder)
    assert out.returncode == 1
    assert out.stdout.split() == shown.split()


def test_the_settings_of_a_model_that_are_shown_are_settings() -> None:
    text = MODELS.split("```toml\n")[1].split("```")[0]
    settings = ModelSettings.model_validate(tomllib.loads(text))
    assert settings.max_queue_delay_s == 0.005
    assert settings.warm_up == ((256, 256), (512, 1024))


def test_the_configuration_that_is_shown_is_printed(folder: Path) -> None:
    ((command, shown),) = CONSOLE.findall(CONFIGURATION)
    out = run(command, folder)
    assert (out.returncode, out.stderr) == (0, "")
    for part in shown.split("...\n"):
        assert part in out.stdout


def test_the_mistakes_that_are_shown_are_told_so(folder: Path) -> None:
    (folder / "server.toml").write_text("[memory]\nbuget = 1\n")
    shown = CONFIGURATION.split("```text\n")[1].split("```")[0].splitlines()
    commands = ["--config server.toml", "--set grace_s=soon", "--port 70000"]
    for line, arguments in zip(shown, commands, strict=True):
        said = line.replace("ANYRES_GRACE_S", "--set grace_s")
        out = run(f"anyres serve models {arguments}", folder)
        assert (out.returncode, out.stderr.strip()) == (2, said)
