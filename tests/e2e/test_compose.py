"""`docker compose up` as a newcomer types it: models made, served, shown; a folder predicted."""

from __future__ import annotations

import json
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from PIL import Image
from tests.e2e.compose import Project

pytestmark = [pytest.mark.docker, pytest.mark.slow]

PAGE = any(point.name == "web" for point in entry_points(group="anyres.commands"))
MODELS = ("climate_unet", "mobilenet_v2", "mobilenet_v2_fcn")


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
