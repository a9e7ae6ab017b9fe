"""`docker compose up` as a newcomer types it: models made, served, shown; a folder predicted.

Then its profiles: what is watched, and three replicas of which one is killed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import quote

import pytest
from PIL import Image
from tests.e2e.compose import ROOT, Project

pytestmark = [pytest.mark.docker, pytest.mark.slow]

PAGE = any(point.name == "web" for point in entry_points(group="anyres.commands"))
MODELS = ("climate_unet", "mobilenet_v2", "mobilenet_v2_fcn")

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


def test_the_exporter_makes_three_models_and_when_asked_again_nothing(project: Project) -> None:
    assert project.exit_code("models") == 0
    said = project.must("run", "--rm", "-T", "models")
    files = " ".join(f"{name}.onnx" for name in MODELS)
    assert said.strip() == f"the models are there, and fresh: {files}"


def test_the_server_is_healthy_and_answers_on_the_published_port(project: Project) -> None:
    (server,) = project.must("ps", "--format", "{{.Health}}", "server").split()
    assert server == "healthy"
    address = project.must("port", "server", "8001").strip()
    assert address.startswith("127.0.0.1:")
    anyres = Path(sys.executable).with_name("anyres")
    listed = project.run(str(anyres), "models", "--server", address)
    assert listed.returncode == 0, listed.stderr
    assert all(name in listed.stdout for name in MODELS)


@pytest.mark.skipif(not PAGE, reason="this version has no page")
def test_the_page_is_healthy_and_answers_on_the_published_port(project: Project) -> None:
    project.must("up", "--detach", "--wait", "web")
    assert "<html" in project.get("web", 7860, "/")


def test_the_batch_leaves_a_class_map_and_a_line_for_each_photo(
    project: Project, results: Path
) -> None:
    project.must("run", "--rm", "-T", "batch")
    lines = [json.loads(line) for line in (results / "results.jsonl").read_text().splitlines()]
    top = {line["file"]: line["classes"][0]["name"] for line in lines}
    assert top["chelsea.png"] == "Egyptian cat"
    assert top["cups/coffee.jpg"] in {"espresso", "cup", "coffee mug"}
    for file, grid in (("chelsea.png", (15, 10)), ("cups/coffee.jpg", (19, 13))):
        with Image.open(results / f"{file}.classes.png") as classes:
            assert classes.size == grid
        assert (results / f"{file}.overlay.jpg").stat().st_uid == results.stat().st_uid


def test_a_photo_that_is_none_is_said_and_shows_in_the_exit_code(
    project: Project, images: Path
) -> None:
    project.must("run", "--rm", "-T", "batch")
    broken = images / "broken.jpg"
    broken.write_bytes(b"no photo")
    try:
        done = project.compose("run", "--rm", "-T", "batch")
    finally:
        broken.unlink()
    assert done.returncode == 1
    assert "broken.jpg: skipped" in done.stderr
    assert "0 predicted, 2 done before, 1 failed" in done.stderr


@pytest.mark.parametrize("service", ["models", "server", "web", "batch"])
def test_no_container_can_do_more_than_its_work(project: Project, service: str) -> None:
    said = project.probe(service)
    assert said["user"] != 0
    assert said["read_only"]
    assert said["writable"] == ["/tmp"]
    assert "CapBnd:\t0000000000000000" in said["privileges"]
    assert "NoNewPrivs:\t1" in said["privileges"]


# The base image is about 130 MB; with it the server stays below 600 MB, the client below 250 MB.
@pytest.mark.parametrize(
    ("service", "found", "megabytes"),
    [
        ("server", ["onnx", "onnxruntime", "anyres_client"], 450),
        ("web", ["anyres_client"], 400),
        ("batch", ["anyres_client"], 118),
    ],
)
def test_the_images_are_small(
    project: Project, service: str, found: list[str], megabytes: int
) -> None:
    said = project.probe(service)
    assert said["found"] == found
    assert said["megabytes"] < megabytes


def test_told_to_stop_the_server_leaves_in_good_order(project: Project) -> None:
    project.must("stop", "server")
    try:
        assert project.exit_code("server") == 0
        assert "stopping: finishing what runs" in project.must("logs", "server")
    finally:
        project.must("up", "--detach", "--wait", "server")


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
