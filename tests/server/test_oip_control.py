"""What a stock client changes while the server runs: the models that are loaded, the log."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.server.stock import stock

ZEROS = {"model": "stride4", "name": "x", "values": np.zeros((1, 3, 8, 8)).tolist()}


@pytest.fixture
def level() -> Iterator[int]:
    """The level of the log, which is the same after the test."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.INFO)
    yield logging.INFO
    root.setLevel(before)


async def test_a_model_is_unloaded_and_loaded_again(serve: Any) -> None:
    async with serve("stride4", "grey") as served:
        outcomes = await stock(
            served.server.port,
            ("infer", ZEROS),
            ("unload_model", {"model_name": "stride4", "unload_dependents": True}),
            ("is_model_ready", {"model_name": "stride4"}),
            ("infer", ZEROS),
            ("get_model_repository_index", {"as_json": True}),
            ("load_model", {"model_name": "stride4"}),
            ("is_model_ready", {"model_name": "stride4"}),
            ("infer", ZEROS),
        )
    first, _, gone, refused, index, _, there, again = outcomes
    assert gone["value"] is False
    assert refused["status"] == "StatusCode.FAILED_PRECONDITION"
    states = {row["name"]: row["state"] for row in index["value"]["models"]}
    assert states == {"grey": "READY", "stride4": "UNAVAILABLE"}
    assert there["value"] is True
    assert again["value"]["outputs"] == first["value"]["outputs"]


async def test_what_cannot_be_loaded_is_refused_with_its_reason(serve: Any) -> None:
    cases = [
        (("load_model", {"model_name": "no"}), "NOT_FOUND", "there is no model 'no'"),
        (("unload_model", {"model_name": "no"}), "NOT_FOUND", "there is no model 'no'"),
        (
            ("load_model", {"model_name": "stride4", "config": "{}"}),
            "INVALID_ARGUMENT",
            "option 'config' is not served",
        ),
    ]
    async with serve("stride4") as served:
        outcomes = await stock(served.server.port, *(call for call, _, _ in cases))
    for outcome, (_, code, words) in zip(outcomes, cases, strict=True):
        assert outcome["status"] == f"StatusCode.{code}"
        assert words in outcome["message"]


async def test_the_log_is_as_wordy_as_one_asks_from_that_moment_on(serve: Any, level: int) -> None:
    def updated(**settings: Any) -> tuple[str, dict[str, Any]]:
        return "update_log_settings", {"settings": settings, "as_json": True}

    root = logging.getLogger()
    async with serve("stride4") as served:
        quieter = await stock(
            served.server.port, updated(), updated(log_info=False), updated(log_warning=False)
        )
        quiet = root.level
        wordier = await stock(
            served.server.port,
            updated(log_verbose_level=1, log_info=True, log_warning=True),
            ("get_log_settings", {"as_json": True}),
        )
    switches = ("log_info", "log_warning", "log_error")
    info: dict[str, Any] = {name: {"bool_param": True} for name in switches}
    info["log_verbose_level"] = {"uint32_param": 0}
    off, verbose = {"bool_param": False}, info | {"log_verbose_level": {"uint32_param": 1}}
    assert [outcome["value"]["settings"] for outcome in quieter] == [
        info,
        info | {"log_info": off},
        info | {"log_info": off, "log_warning": off},
    ]
    assert quiet == logging.ERROR
    assert [outcome["value"]["settings"] for outcome in wordier] == [verbose, verbose]
    assert root.level == logging.DEBUG


async def test_a_log_setting_that_is_unknown_or_contradicts_another_changes_nothing(
    serve: Any, level: int
) -> None:
    wrong = [
        ({"log_file": "/etc/passwd"}, "'log_file' is not one that can be changed"),
        ({"log_warning": False}, "with all graver ones; that would be log_verbose_level off"),
        ({"log_info": False, "log_colour": 1}, "'log_colour'"),
    ]
    calls = [("update_log_settings", {"settings": settings}) for settings, _ in wrong]
    async with serve("stride4") as served:
        outcomes = await stock(served.server.port, *calls)
    for outcome, (_, words) in zip(outcomes, wrong, strict=True):
        assert outcome["status"] == "StatusCode.INVALID_ARGUMENT"
        assert words in outcome["message"]
    assert logging.getLogger().level == level


@pytest.mark.parametrize(
    ("versions", "policy"),
    [
        ("all", {"all": {}}),
        ("latest 2", {"latest": {"num_versions": 2}}),
        ([1, 3], {"specific": {"versions": ["1", "3"]}}),
    ],
)
async def test_the_configuration_says_which_versions_are_served(
    serve: Any, versions: Any, policy: dict[str, Any]
) -> None:
    about = {"model_name": "stride4", "as_json": True}
    async with serve("stride4", repository_versions=versions) as served:
        (outcome,) = await stock(served.server.port, ("get_model_config", about))
    assert outcome["value"]["config"]["version_policy"] == policy


async def test_a_models_own_settings_say_it_before_the_servers(serve: Any, models: Path) -> None:
    (models / "stride4.toml").write_text('versions = "latest 3"\n', "utf-8")
    async with serve("stride4") as served:
        (outcome,) = await stock(
            served.server.port, ("get_model_config", {"model_name": "stride4", "as_json": True})
        )
    assert outcome["value"]["config"]["version_policy"] == {"latest": {"num_versions": 3}}
