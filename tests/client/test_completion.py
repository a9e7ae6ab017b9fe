"""Completion in the shell: commands, options, values, models; asked as the shells ask."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ANYRES = Path(sys.executable).with_name("anyres")


def ran(command: list[object], **environment: str) -> str:
    """What it prints, and nothing else than that."""
    done = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={**os.environ, "NO_COLOR": "1", **environment},
    )
    assert done.stderr == ""
    return done.stdout


def completed(*words: str, **environment: str) -> list[str]:
    """What bash would offer for the last of some words."""
    typed = "\n".join(("anyres", *words))  # as its script joins them
    asked = {"COMP_WORDS": typed, "COMP_CWORD": str(len(words))}
    return ran([ANYRES], _ANYRES_COMPLETE="complete_bash", **asked, **environment).split()


def test_commands_are_completed_in_the_order_of_a_first_day() -> None:
    every = completed("")
    assert every[0] == "export"
    assert every.index("serve") < every.index("predict") < every.index("batch")
    assert completed("pre") == ["predict"]


def test_options_and_their_values_are_completed() -> None:
    assert {"--model", "--mib-in-flight"} <= set(completed("batch", "--m"))
    assert "--server" in completed("models", "--s")
    assert completed("batch", "photos", "--as", "") == ["folder", "tar", "parquet"]
    assert completed("card", "st") == ["stamp"]


def test_models_are_those_of_the_server_that_is_meant(fake: Any, free_address: str) -> None:
    assert completed("predict", "--server", fake.address, "--model", "") == ["things", "zones"]
    assert completed("batch", "--model", "z", ANYRES_SERVER=fake.address) == ["zones"]
    assert completed("batch", "--model", "", ANYRES_SERVER=free_address) == []


@pytest.mark.parametrize(
    ("shell", "said"),
    [("zsh", '"models":"List a server'), ("fish", "models\tList a server's models")],
)
def test_shells_that_show_help_are_given_it(shell: str, said: str) -> None:
    asked = {"_TYPER_COMPLETE_ARGS": "anyres mo", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    assert said in ran([ANYRES], _ANYRES_COMPLETE=f"complete_{shell}", **asked)


def test_completing_loads_none_of_the_heavy_modules() -> None:
    code = (
        "import sys; from anyres_client.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'onnx', 'onnxruntime', 'grpc', 'numpy'} & set(sys.modules)))"
    )
    asked = {"_ANYRES_COMPLETE": "complete_bash", "COMP_CWORD": "1", "COMP_WORDS": "anyres\nb"}
    told = ran([sys.executable, "-c", code], **asked).splitlines()
    assert told == ["bench", "batch", "[]"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_is_shown_and_installed(tmp_path: Path, shell: str) -> None:
    alone = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1", "HOME": str(tmp_path)}
    script = ran([ANYRES, "--show-completion", shell], **alone)
    assert "_ANYRES_COMPLETE=complete_" + shell in script
    assert f"{shell} completion installed" in ran([ANYRES, "--install-completion", shell], **alone)
    installed = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert any(script.strip() in text for text in installed)


def test_bash_itself_completes_by_the_script(tmp_path: Path) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash")
    alone = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    script = ran([ANYRES, "--show-completion", "bash"], **alone)
    asking = (
        f"{script}\nCOMP_WORDS=(anyres batch --as t) COMP_CWORD=3\n"
        f"_anyres_completion {ANYRES}\necho ${{COMPREPLY[@]}}"
    )
    assert ran([bash, "--norc", "-c", asking]).split() == ["tar"]
