"""`docker compose up` as a newcomer types it: models made, served, a folder of photos predicted.

Runs where a container engine answers. Where none does, ANYRES_DOCKERLAB may name a script that
starts one: `SCRIPT up`, `SCRIPT run COMMAND...` in the engine's network, `SCRIPT down`.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest
from PIL import Image

pytestmark = [pytest.mark.docker, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
LAB_BESIDE = ROOT.parent / "shared/tools/dockerlab.sh"
LOCK = Path(tempfile.gettempdir()) / "anyres-dockerlab.lock"
NOBODY = "1234:1234"  # a user whom no image knows
MODELS = ("climate_unet", "mobilenet_v2", "mobilenet_v2_fcn")

PROBE = Path(__file__).with_name("container_probe.py")


@dataclass(frozen=True)
class Project:
    """The compose file's services under a name of their own."""

    engine: tuple[str, ...]
    files: tuple[Path, ...]
    name: str
    environment: Mapping[str, str]

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A command in the engine's network."""
        return subprocess.run(
            [*self.engine, *command],
            cwd=ROOT,
            env=os.environ | dict(self.environment),
            capture_output=True,
            text=True,
            check=False,
            timeout=1800,
        )

    def compose(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`docker compose` for this project."""
        files = [word for file in self.files for word in ("--file", str(file))]
        return self.run("docker", "compose", "--project-name", self.name, *files, *arguments)

    def must(self, *arguments: str) -> str:
        """What `docker compose` prints, where it has to succeed."""
        done = self.compose(*arguments)
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout

    def exit_code(self, service: str) -> int:
        """The exit code of a service's container, once it has ended."""
        container = self.must("ps", "--all", "--quiet", service).strip()
        return int(self.run("docker", "wait", container).stdout)

    def probe(self, service: str) -> dict[str, Any]:
        """What a new container of a service says of itself."""
        python = ("--entrypoint", "python", service, "-c", PROBE.read_text())
        said: dict[str, Any] = json.loads(self.must("run", "--rm", "--no-deps", "-T", *python))
        return said


@pytest.fixture(scope="module")
def engine() -> Iterator[tuple[str, ...]]:
    """What to put before a command, so that it meets a container engine."""
    if shutil.which("docker") and answers(()):
        yield ()
        return
    named = os.environ.get("ANYRES_DOCKERLAB")
    lab = Path(named) if named else LAB_BESIDE
    if not named and not lab.exists():
        pytest.skip("no container engine answers `docker info`, and ANYRES_DOCKERLAB names none")
    with LOCK.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # who starts the engine also stops it, under everyone
        yield from started(lab, ended=pytest.fail if named else pytest.skip)


def started(lab: Path, *, ended: Callable[[str], NoReturn]) -> Iterator[tuple[str, ...]]:
    inside = (str(lab), "run")
    if answers(inside):
        yield inside
        return
    try:
        up = subprocess.run([lab, "up"], capture_output=True, text=True, check=False, timeout=900)
        if up.returncode:
            ended(f"{lab} starts no container engine: {up.stderr.strip()[-400:]}")
        yield inside
    finally:
        subprocess.run([lab, "down"], capture_output=True, check=False, timeout=120)


def answers(engine: tuple[str, ...]) -> bool:
    return all(
        subprocess.run([*engine, "docker", *words], capture_output=True, check=False).returncode
        == 0
        for words in (("info",), ("compose", "version"))
    )


@pytest.fixture(scope="module")
def images(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cat and, in a folder of its own, a coffee."""
    folder = tmp_path_factory.mktemp("compose") / "images"
    (folder / "cups").mkdir(parents=True)
    photos = assets / "skimage/data"
    shutil.copy(photos / "chelsea.png", folder)
    with Image.open(photos / "coffee.png") as coffee:
        coffee.save(folder / "cups/coffee.jpg")
    return folder


@pytest.fixture(scope="module")
def results(images: Path) -> Path:
    return images.with_name("results")


@pytest.fixture(scope="module")
def project(engine: tuple[str, ...], images: Path, results: Path) -> Iterator[Project]:
    """Everything up, on any free port, for the user who runs the tests (or for nobody)."""
    results.mkdir()
    user = f"{os.getuid()}:{os.getgid()}" if os.getuid() else NOBODY
    os.chown(results, *map(int, user.split(":")))
    project = Project(
        engine=engine,
        files=(ROOT / "docker-compose.yml", *wheels_of_this_machine(images.parent)),
        name=f"anyres-test-{secrets.token_hex(4)}",
        environment={
            "ANYRES_IMAGES": str(images),
            "ANYRES_RESULTS": str(results),
            "ANYRES_USER": user,
            "ANYRES_PORT": "0",
        },
    )
    try:
        project.must("build")
        project.must("up", "--detach")
        yield project
    finally:
        project.must("down", "--volumes", "--rmi", "local", "--remove-orphans")


def wheels_of_this_machine(folder: Path) -> list[Path]:
    """Where this machine's pip is told of a folder of wheels, the build is told of it too."""
    pip = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(pip, capture_output=True, text=True, check=False).stdout
    settings = dict(line.split("=", 1) for line in listed.splitlines() if "=" in line)
    told = (value.strip("'") for name, value in settings.items() if name.endswith(".find-links"))
    wheels = next((place for place in told if Path(place).is_dir()), None)
    if wheels is None:
        return []
    addition = {"services": {"models": {"build": {"additional_contexts": {"wheels": wheels}}}}}
    file = folder / "wheels.json"
    file.write_text(json.dumps(addition))
    return [file]


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


def test_the_batch_leaves_a_class_map_and_a_line_for_each_photo(
    project: Project, results: Path
) -> None:
    assert project.exit_code("batch") == 0
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
    assert project.exit_code("batch") == 0
    broken = images / "broken.jpg"
    broken.write_bytes(b"no photo")
    try:
        done = project.compose("run", "--rm", "-T", "batch")
    finally:
        broken.unlink()
    assert done.returncode == 1
    assert "broken.jpg: skipped" in done.stderr
    assert "0 predicted, 2 done before, 1 failed" in done.stderr


@pytest.mark.parametrize("service", ["models", "server", "batch"])
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
    [("server", ["onnx", "onnxruntime", "anyres_client"], 450), ("batch", ["anyres_client"], 118)],
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
