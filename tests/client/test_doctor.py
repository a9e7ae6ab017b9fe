"""`anyres doctor`: what is there, what is missing and what brings it, what is broken."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pytest
from tests.server.conftest import save

from anyres_client import doctor
from anyres_client.main import main


def examined(capsys: Any, *words: str) -> tuple[int, dict[str, dict[str, str]]]:
    """The exit code, and the findings by what they are about."""
    code = main(["doctor", "--json", *words])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return code, {line["what"]: line for line in lines}


def test_a_server_that_was_named_is_asked_and_its_models_are_tried(capsys: Any, fake: Any) -> None:
    code, found = examined(capsys, "--server", fake.address)
    assert code == 1  # one of its models is broken
    assert found["server"]["state"] == "ok"
    assert "2 of 3 models ready" in found["server"]["said"]
    assert found["zones"]["state"] == found["things"]["state"] == "ok"
    assert found["zones"]["said"].startswith("64x64 predicted in")
    assert found["broken"]["state"] == "broken"
    assert {request.model_name for request in fake.requests} == {"zones", "things"}


def test_a_model_of_this_process_is_tried(capsys: Any, tmp_path: Any) -> None:
    code, found = examined(capsys, "--local", str(save(tmp_path, "unet")))
    assert code == 0
    assert found["unet"] == {
        "what": "unet",
        "state": "ok",
        "said": found["unet"]["said"],
    }
    assert found["unet"]["said"].startswith("64x64 predicted")


def test_a_server_that_nobody_named_is_only_missing(
    capsys: Any, monkeypatch: Any, free_address: str
) -> None:
    monkeypatch.delenv("ANYRES_SERVER", raising=False)
    monkeypatch.setattr("anyres_client.commands.doctor.ADDRESS", free_address)
    code, found = examined(capsys, "--server", free_address)
    assert (code, found["server"]["state"]) == (0, "missing")
    assert "anyres serve FOLDER" in found["server"]["said"]


def test_a_server_that_was_named_and_is_not_there_is_broken(capsys: Any, free_address: str) -> None:
    code, found = examined(capsys, "--server", free_address)
    assert (code, found["server"]["state"]) == (1, "broken")


def test_an_extra_that_is_not_installed_says_what_brings_it(
    capsys: Any, fake: Any, monkeypatch: Any
) -> None:
    def lacking(name: str) -> str:
        if name in ("onnxruntime", "onnx"):
            raise PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(doctor, "version", lacking)
    _, found = examined(capsys, "--server", fake.address)
    assert found["[server]"]["state"] == found["[analyzer]"]["state"] == "missing"
    assert "pip install 'anyres[server]' (brings onnx, onnxruntime)" in found["[server]"]["said"]
    assert found["[otel]"]["state"] == "ok"


def test_people_get_a_table(capsys: Any, fake: Any) -> None:
    assert main(["doctor", "--server", fake.address]) == 1
    out = capsys.readouterr().out
    assert out.splitlines()[0].split()[:2] == ["ok", "anyres"]


@pytest.mark.parametrize("extra", sorted(doctor.EXTRAS))
def test_the_extras_that_are_told_are_some(extra: str) -> None:
    if extra in ("web", "video") and extra not in doctor._needed():
        pytest.skip("not there yet")
    assert doctor._needed()[extra]
