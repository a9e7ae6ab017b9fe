"""Settings: where they come from, which goes before which, and how a mistake in them is told."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given as examples
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, SecretStr, TypeAdapter, ValidationError
from tests.server.command import run

from anyres_server.settings.mistake import Key, Mistake, blamed, fields
from anyres_server.settings.per_model import ModelSettings
from anyres_server.settings.reading import Given, Read, parsed, read_settings, variable
from anyres_server.settings.settings import Settings
from anyres_server.settings.shown import as_toml, given
from anyres_server.settings.units import Bytes, Seconds, readable_bytes

MODELS: dict[Key, Given] = {("models",): Given("models", "FOLDER")}
BUDGET = ("memory", "budget")


def read(
    tmp_path: Path, *, toml: str = "", env: dict[str, str] | None = None, **flags: object
) -> Read:
    """With `memory_budget=...` as flags."""
    config = tmp_path / "server.toml"
    config.write_text(toml)
    chosen: dict[Key, Given] = {
        tuple(name.split("_", 1)): Given(value, f"--{name.replace('_', '-')}")
        for name, value in flags.items()
    }
    return read_settings({**MODELS, **chosen}, env or {}, config)


def test_flags_win_over_the_environment_that_over_the_file_that_over_defaults(
    tmp_path: Path,
) -> None:
    file, env = '[memory]\nbudget = "3 GiB"\n', {"ANYRES_MEMORY_BUDGET": "2GiB"}
    default = read(tmp_path).settings.memory.budget
    assert default == Settings(models=Path()).memory.budget
    assert read(tmp_path, toml=file).settings.memory.budget == 3 * 2**30
    assert read(tmp_path, toml=file, env=env).settings.memory.budget == 2 * 2**30
    flagged = read(tmp_path, toml=file, env=env, memory_budget="1GiB")
    assert flagged.settings.memory.budget == 2**30
    assert flagged.origins[BUDGET] == "--memory-budget"


def test_every_setting_has_a_description_and_a_name_of_its_own_in_the_environment() -> None:
    settings = [*fields(Settings), *fields(ModelSettings)]
    assert [key for key, field in settings if not field.description] == []
    names = [variable(key) for key, _ in fields(Settings)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("toml", "env", "flags", "said"),
    [
        ("[memory]\nbuget = 1\n", {}, {}, "server.toml:2: there is no setting memory.buget; the nea"
         "rest is memory.budget"),
        ("[memry]\nbudget = 1\n", {}, {}, "server.toml:1: there is no setting memry; the nearest is"
         " memory"),
        ("prot = 1\n", {}, {}, "server.toml:1: there is no setting prot; the nearest is port"),
        ("memory = 4\n", {}, {}, "server.toml:1: memory is a table"),
        ("\n\nport = 70000\n", {}, {}, "server.toml:3: port: expected less than or equal to 65535; "
         "got 70000"),
        ("port = \n", {}, {}, "server.toml:1 is no TOML"),
        ("[memory]\n# it\nbudget = 'much'\n", {}, {}, 'server.toml:3: memory.budget: expected bytes'
         ": a whole number, or \"512 MiB\", \"2 GB\"; got 'much'"),
        ("memory.budget = 1\n", {}, {}, "server.toml:1: memory.budget: expected greater than"),
        ("[memory]\nbudget = '1 GiB'\nactivations = '513 MiB'\n", {}, {}, "server.toml:3: memory.ac"
         "tivations: expected at most 536870912 bytes, what memory.pictures leaves"),
        ("", {"ANYRES_MEMORY_BUGET": "1"}, {}, "ANYRES_MEMORY_BUGET: there is no setting memory.bug"
         "et; the nearest is memory.budget"),
        ("", {"ANYRES_GRACE_S": "soon"}, {}, "ANYRES_GRACE_S: grace_s: expected seconds: a number, "
         "or \"200 ms\", \"1m30s\", \"1 h\"; got 'soon'"),
        ("", {"ANYRES_OBSERVE_LOG_LEVEL": "loud"}, {}, "ANYRES_OBSERVE_LOG_LEVEL: observe.log_level"
         ": expected 'debug', 'info', 'warning' or 'error'; got 'loud'"),
        ("[memory]\nbudget = 'much'\n", {}, {"memory_budget": "-1"}, "--memory-budget: memory.budge"
         "t: expected"),
        ("repository.versions = 3\n", {}, {}, 'server.toml:1: repository.versions: expected "all", '
         '"latest", "latest N" or a list of version numbers; got 3'),
    ],
)  # fmt: skip
def test_a_mistake_is_told_by_where_it_stands_and_what_was_expected(
    tmp_path: Path, toml: str, env: dict[str, str], flags: dict[str, str], said: str
) -> None:
    with pytest.raises(Mistake) as caught:
        read(tmp_path, toml=toml, env=env, **flags)
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_what_a_later_place_says_well_is_no_mistake_of_an_earlier_one(tmp_path: Path) -> None:
    settings = read(tmp_path, toml="port = 70000\n", env={"ANYRES_PORT": "7"}).settings
    assert settings.port == 7


def test_variables_of_compose_and_of_kubernetes_are_left_alone(tmp_path: Path) -> None:
    env = {
        "ANYRES_MEMORY": "4g",
        "ANYRES_IMAGES": "./photos",
        "ANYRES_MODEL": "unet",
        "ANYRES_USER": "1000:1000",
        "ANYRES_SERVER": "localhost:8001",
        "ANYRES_PORT": "tcp://10.96.0.12:8001",
        "ANYRES_SERVICE_HOST": "10.96.0.12",
    }
    found = read(tmp_path, env=env)
    assert found.settings == read(tmp_path).settings
    assert found.ignored == ("ANYRES_PORT",)


def test_a_path_in_a_file_starts_at_the_file(tmp_path: Path) -> None:
    text = 'models = "nets"\n[access]\ntokens = "/etc/tokens"\n'
    (tmp_path / "server.toml").write_text(text)
    settings = read_settings({}, {}, tmp_path / "server.toml").settings
    assert settings.models == tmp_path / "nets"
    assert settings.access.tokens == Path("/etc/tokens")


def test_without_models_it_is_said_where_they_may_be_named(tmp_path: Path) -> None:
    with pytest.raises(Mistake, match=r"name a folder .* or set ANYRES_MODELS, or `models`"):
        read_settings({}, {}, None)
    assert read_settings({}, {"ANYRES_MODELS": "m"}, None).settings.models == Path("m")
    with pytest.raises(Mistake, match=r"nowhere\.toml cannot be read: No such file"):
        read_settings(MODELS, {}, tmp_path / "nowhere.toml")


@pytest.mark.parametrize(
    ("text", "amount"),
    [("512 MiB", 2**29), ("2GiB", 2**31), ("1.5 GB", 1_500_000_000), ("4096", 4096), (7, 7)],
)
def test_sizes_are_read_as_people_write_them(text: object, amount: int) -> None:
    assert TypeAdapter(Bytes).validate_python(text) == amount


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2ms", 0.002), ("1m30s", 90), ("1 h", 3600), ("0.5", 0.5), ("5 min", 300), (3, 3),
     ("250us", 0.00025)],
)  # fmt: skip
def test_durations_are_read_as_people_write_them(text: object, seconds: float) -> None:
    assert TypeAdapter(Seconds).validate_python(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5 potatoes", "ms", "1 s 2", "1e", "-3s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="expected seconds"):
        TypeAdapter(Seconds).validate_python(text)


@examples(st.integers(min_value=0, max_value=2**50))
def test_a_size_that_is_shown_is_read_back(amount: int) -> None:
    assert TypeAdapter(Bytes).validate_python(readable_bytes(amount)) == amount


@hypothesis_settings(max_examples=30)
@examples(st.text(min_size=1, max_size=20), st.integers(0, 65535), st.floats(0, 1e6), st.booleans())
def test_what_is_printed_is_a_file_that_says_the_same(
    host: str,
    port: int,
    grace_s: float,
    watch: bool,
) -> None:
    values = {
        "models": "models",
        "host": host,
        "port": port,
        "grace_s": grace_s,
        "repository": {"watch": watch, "versions": [1, 3], "poll_s": "1m"},
        "memory": {"budget": "3 GiB", "tile": 12345678},
    }
    settings = Settings.model_validate(values)
    assert Settings.model_validate(tomllib.loads(as_toml(settings, {}))) == settings


class Guarded(BaseModel):
    """Settings that hold a secret."""

    password: SecretStr = Field(description="of the collector")


def test_a_secret_is_shown_nowhere() -> None:
    settings = Guarded(password=SecretStr("hunter2"))
    origins: dict[Key, str] = {("password",): "server.toml:1"}
    shown = [as_toml(settings, origins), *given(settings, origins), settings.model_dump_json()]
    assert not any("hunter2" in text for text in shown)
    assert '# password = "**********"' in shown[0], "read back, it would be a wrong password"
    with pytest.raises(ValidationError) as caught:
        Guarded.model_validate({"password": ["hunter2"]})
    assert "hunter2" not in " ".join(blamed(Guarded, caught.value)[1:])


def test_what_was_given_is_said_with_its_place(tmp_path: Path) -> None:
    found = read(tmp_path, toml="[memory]\n\nbudget = 2147483648\n", env={"ANYRES_PORT": "7"})
    assert set(given(found.settings, found.origins)) == {
        'models = "models" (FOLDER)',
        "port = 7 (ANYRES_PORT)",
        'memory.budget = "2 GiB" (server.toml:3)',
    }
    printed = as_toml(found.settings, found.origins)
    assert "(ANYRES_MEMORY_BUDGET, here by server.toml:3)" in printed


def test_outside_a_file_lists_are_written_as_in_it() -> None:
    assert parsed("[1, 3]") == [1, 3]
    assert parsed("latest 2") == "latest 2"
    assert parsed("[x") == "[x"


def test_the_command_prints_the_settings_in_force(tmp_path: Path, capsys: Any) -> None:
    config = tmp_path / "server.toml"
    config.write_text('models = "nets"\nport = 9\n[batching]\nmax_size = 2\n')
    ran = run(
        capsys, "serve", "--print-config", "--set", "memory.tile=64MiB", "--grace", "5",
        ANYRES_CONFIG=str(config), ANYRES_PORT="11", ANYRES_MEMORY="4g",
    )  # fmt: skip
    assert (ran.code, ran.err) == (0, "")
    said = tomllib.loads(ran.out)
    assert (said["port"], said["grace_s"]) == (11, 5.0)
    assert (said["batching"]["max_size"], said["memory"]["tile"]) == (2, "64 MiB")
    (tmp_path / "printed.toml").write_text(ran.out)
    again = run(capsys, "serve", "--print-config", "--config", tmp_path / "printed.toml")
    assert tomllib.loads(again.out) == said


def test_a_file_is_begun_with_what_is_printed_where_nothing_was_said(capsys: Any) -> None:
    ran = run(capsys, "serve", "--print-config")
    assert ran.code == 0
    assert "here by example" in ran.out
    assert tomllib.loads(ran.out)["models"] == "models"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "memory.tile"], "--set memory.tile: expected TABLE.NAME=VALUE"),
        (["--set", "memory.tiles=1"], "the nearest is memory.tile"),
        (["--port", "x"], "--port: port: expected a valid integer"),
        (["--config", "nowhere.toml"], "nowhere.toml cannot be read: No such file or directory"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_two(
    capsys: Any, arguments: list[str], said: str
) -> None:
    ran = run(capsys, "serve", "models", *arguments)
    assert (ran.code, ran.out) == (2, "")
    (line,) = ran.err.splitlines()
    assert line.startswith("anyres serve: ")
    assert said in line
