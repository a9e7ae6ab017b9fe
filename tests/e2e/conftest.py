"""The real thing: the models of `make models` behind a real server in a process of its own."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from demo.serving import served
from PIL import Image
from tests.e2e.compose import Project, answers, base_image, started, wheels_of_this_machine

from anyres_client import Client

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "out/models"
ASSETS = ROOT / "out/assets"
LAB_BESIDE = ROOT.parent / "shared/tools/dockerlab.sh"
LOCK = Path(tempfile.gettempdir()) / "anyres-dockerlab.lock"
NOBODY = "1234:1234"  # a user whom no image knows


@pytest.fixture(scope="session")
def assets() -> Path:
    """The folder of the photographs' packages."""
    if not (ASSETS / ".complete").exists():
        pytest.skip("`make models` fetches the photographs")
    return ASSETS


@pytest.fixture(scope="session")
def address(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of the three models that we ship."""
    if len(list(MODELS.glob("*.onnx"))) < 3:
        pytest.skip("`make models` exports the models")
    with served(MODELS, tmp_path_factory.mktemp("server") / "log") as address:
        yield address


@pytest.fixture(scope="session")
def client(address: str) -> Iterator[Client]:
    """A client of that server."""
    with Client(address) as client:
        client.wait_ready(60)
        yield client


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
    """A folder that whoever runs `batch` may write to."""
    folder = images.with_name("results")
    folder.mkdir()
    os.chown(folder, *map(int, user().split(":")))
    return folder


def user() -> str:
    """Whoever runs the tests, or nobody."""
    return f"{os.getuid()}:{os.getgid()}" if os.getuid() else NOBODY


@pytest.fixture(scope="module")
def project(engine: tuple[str, ...], images: Path, results: Path) -> Iterator[Project]:
    """What `docker compose up` starts, on any free port."""
    ports = ("ANYRES_PORT", "ANYRES_WEB_PORT", "ANYRES_BALANCER_PORT")
    observers = ("ANYRES_PROMETHEUS_PORT", "ANYRES_GRAFANA_PORT")
    folders = {"ANYRES_IMAGES": str(images), "ANYRES_RESULTS": str(results)}
    project = Project(
        engine=engine,
        files=(ROOT / "docker-compose.yml", *wheels_of_this_machine(images.parent)),
        name=f"anyres-test-{secrets.token_hex(4)}",
        environment={**dict.fromkeys(ports + observers, "0"), **folders, "ANYRES_USER": user()},
    )
    try:
        project.must("build", profile="batch")
        project.must("up", "--detach")
        yield project
    finally:
        project.must("down", "--volumes", "--rmi", "local", "--remove-orphans", profile="*")


# What takes the place of images of others where those cannot be had.
STAND_INS = Path(__file__).with_name("stand_ins")


@pytest.fixture(scope="module")
def others(project: Project) -> Iterator[None]:
    """The images of others: as they are, or programs that do as much and fit the same way."""
    known = project.must("config", "--images", profile="*").split()
    wanted = {part: next(one for one in known if part in one) for part in OTHERS}
    missing = {part: image for part, image in wanted.items() if not had(project, image)}
    try:
        for part, image in missing.items():
            python = base_image().removeprefix("python:")
            words = ("--build-arg", f"PYTHON={python}", "--target", part, "--tag", image)
            built = project.run("docker", "build", *words, str(STAND_INS))
            assert built.returncode == 0, built.stderr[-2000:]
        yield
    finally:
        project.must("down", profile="*")
        for image in missing.values():  # or it would be taken for what it stands in for
            project.run("docker", "image", "rm", "--force", image)


OTHERS = ("envoy", "prometheus", "grafana")


def had(project: Project, image: str) -> bool:
    """Whether it is there, or comes."""
    asks = (("image", "inspect"), ("pull", "--quiet"))
    return any(project.run("docker", *ask, image).returncode == 0 for ask in asks)
