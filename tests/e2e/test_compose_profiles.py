"""The profiles of Compose: what is watched, and three replicas of which one is killed."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import quote

import pytest
from tests.e2e.compose import ROOT, Project

pytestmark = [pytest.mark.docker, pytest.mark.slow]

LOAD = Path(__file__).with_name("replica_load.py").read_text()
MODEL = "mobilenet_v2_fcn"
COUNT = 300
FOUND_WITHIN_S = 90
ANSWERED = """
import urllib.request
text = urllib.request.urlopen("http://localhost:8002/metrics").read().decode()
lines = [line.split() for line in text.splitlines() if line.startswith("anyres_images_total{")]
print(int(sum(float(value) for *_, value in lines)))
"""


@pytest.mark.usefixtures("others")
def test_the_dashboard_is_there_and_its_queries_are_answered(project: Project) -> None:
    project.must("up", "--detach", "--wait", "prometheus", "grafana", profile="observe")
    predict = ("predict", "/images/chelsea.png", "--model", MODEL, "--server", "server:8001")
    project.must("run", "--rm", "-T", "batch", *predict)
    text = project.get("grafana", 3000, "/api/dashboards/uid/anyres")
    assert json.loads(text)["dashboard"]["title"] == "anyres"
    until = monotonic() + FOUND_WITHIN_S
    while len(up := asked(project, "up")) < 1 or not asked(project, "anyres_images_total > 0"):
        assert monotonic() < until, "Prometheus finds no server, or no images"
    assert {one["value"][1] for one in up} == {"1"}


def asked(project: Project, query: str) -> list[Any]:
    """What Grafana's source answers."""
    path = f"/api/datasources/proxy/uid/prometheus/api/v1/query?query={quote(query)}"
    found: list[Any] = json.loads(project.get("grafana", 3000, path))["data"]["result"]
    return found


@pytest.mark.usefixtures("others")
@pytest.mark.parametrize("address", ["dns:///replica:8001", "balancer:8001"])
def test_three_replicas_share_the_load_and_one_that_is_killed_takes_no_answer_with_it(
    project: Project, address: str
) -> None:
    project.must("up", "--detach", "--wait", "balancer", profile="scale")
    replicas = project.must("ps", "--quiet", "replica").split()
    assert len(replicas) == 3
    with load(project, address) as client:
        assert heard(client) == "warm"
        before = [answered(project, one) for one in replicas]
        go_on(client)
        assert heard(client) == f"answered {COUNT}"
        shares = [answered(project, one) - had for one, had in zip(replicas, before, strict=True)]
        assert all(abs(share - COUNT / 3) <= COUNT / 30 for share in shares), shares
        go_on(client)
        assert heard(client) == "a third"
        assert project.run("docker", "kill", replicas[1]).returncode == 0
        assert heard(client) == f"answered {COUNT}"


@contextmanager
def load(project: Project, address: str) -> Iterator[subprocess.Popen[str]]:
    """A client inside the network that says how far it is."""
    python = ("--entrypoint", "python", "batch", "-c", LOAD, address, str(COUNT))
    command = [*project.engine, *project.command, "run", "--rm", "-T", "--no-deps", *python]
    environment = os.environ | dict(project.environment)
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=-1, stdout=-1, text=True
    ) as process:
        yield process
        assert process.wait(60) == 0


def heard(client: subprocess.Popen[str]) -> str:
    assert client.stdout is not None, "a pipe was asked for"
    return client.stdout.readline().strip()


def go_on(client: subprocess.Popen[str]) -> None:
    assert client.stdin is not None, "a pipe was asked for"
    client.stdin.write("\n")
    client.stdin.flush()


def answered(project: Project, container: str) -> int:
    """How many images a replica has answered."""
    return int(project.run("docker", "exec", container, "python", "-c", ANSWERED).stdout)
