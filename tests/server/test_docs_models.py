"""What docs/server says of models and configuration, run as it stands there."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from tests.server.command import Ran, run
from tests.server.constant import put

from anyres_server.repository.files import contents
from anyres_server.settings.per_model import ModelSettings

Shell: TypeAlias = Callable[[str], Ran]

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


@pytest.fixture
def shell(folder: Path, capsys: Any, monkeypatch: Any) -> Shell:
    """Runs a line that stands on a page, where the page is read."""
    monkeypatch.chdir(folder)

    def typed(line: str) -> Ran:
        program, *arguments = shlex.split(line)
        assert program == "anyres"
        return run(capsys, *arguments, columns=110)

    return typed


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


def test_the_check_that_is_shown_prints_what_is_shown(shell: Shell) -> None:
    ((command, shown),) = CONSOLE.findall(MODELS)
    out = shell(command)
    assert out.code == 1
    assert out.out.split() == shown.split()


def test_the_settings_of_a_model_that_are_shown_are_settings() -> None:
    text = MODELS.split("```toml\n")[1].split("```")[0]
    settings = ModelSettings.model_validate(tomllib.loads(text))
    assert settings.max_queue_delay_s == 0.005
    assert settings.warm_up == ((256, 256), (512, 1024))


def test_the_configuration_that_is_shown_is_printed(shell: Shell) -> None:
    ((command, shown),) = CONSOLE.findall(CONFIGURATION)
    out = shell(command)
    assert (out.code, out.err) == (0, "")
    for part in shown.split("...\n"):
        assert part in out.out


def test_the_mistakes_that_are_shown_are_told_so(folder: Path, shell: Shell) -> None:
    (folder / "server.toml").write_text("[memory]\nbuget = 1\n")
    shown = CONFIGURATION.split("```text\n")[1].split("```")[0].splitlines()
    commands = ["--config server.toml", "--set grace_s=soon", "--port 70000"]
    for line, arguments in zip(shown, commands, strict=True):
        said = line.replace("ANYRES_GRACE_S", "--set grace_s")
        out = shell(f"anyres serve models {arguments}")
        assert (out.code, out.err.strip()) == (2, said)
