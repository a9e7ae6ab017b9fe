"""A batch on Ray writes what any batch writes, whoever is killed meanwhile.

Ray's processes are begun by processes of their own: this one has spoken gRPC, and must not fork.
"""

from __future__ import annotations

import importlib.util
import json
import os
import pickle
import signal
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image
from tests.client.jobs.outputs import KINDS, lines, outputs

from anyres_client.connection import Connection
from anyres_client.jobs import sources
from anyres_client.jobs.answering import Answer, Failure, Question
from anyres_client.jobs.engines.worker import ANSWERS, IMAGES, Worker
from anyres_client.jobs.job import Job
from anyres_client.main import main

COUNT = 24
BROKEN = "broken.png"

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed: the extra `ray`"
)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Many small photos in two folders, of all three classes; one file that is none."""
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    random = np.random.default_rng(7)
    for i in range(COUNT):
        pixels = random.integers(0, 256, (6, 8 + i % 5, 3), np.uint8)
        Image.fromarray(pixels).save(folder / ("deep" if i % 2 else "") / f"{i:02}.png")
    (folder / BROKEN).write_bytes(b"\x89PNG torn")
    return folder


@pytest.fixture
def labels(tmp_path: Path, photos: Path) -> Path:
    """What the first photo shows, as somebody sees it; the others have no label."""
    (tmp_path / "labels").mkdir()
    with Image.open(photos / "00.png") as photo:
        Image.new("L", photo.size, 1).save(tmp_path / "labels" / "00.png")
    return tmp_path / "labels"


@dataclass(frozen=True)
class Runs:
    """Batches over the photos, each a process of its own."""

    photos: Path
    address: str  # the server's
    home: Path

    def start(self, out: Path, *options: object, **environment: str) -> subprocess.Popen[str]:
        words = ["batch", self.photos, "--out", out, "--model", "zones", "--server", self.address]
        return subprocess.Popen(
            [sys.executable, "-m", "anyres_client.main", *map(str, [*words, *options])],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "HOME": str(self.home), **environment},
        )

    def run(self, out: Path, *options: object, **environment: str) -> tuple[int, str]:
        process = self.start(out, *options, **environment)
        _, told = process.communicate(timeout=100)
        return process.returncode, told


@pytest.fixture
def runs(photos: Path, fake: Any, tmp_path: Path) -> Runs:
    (tmp_path / "home").mkdir()
    return Runs(photos, fake.address, tmp_path / "home")


def everything(out: Path, kind: str) -> tuple[Any, ...]:
    """All that a job has written, but for the order in which answers came."""
    told = [
        {key: value for key, value in line.items() if key not in ("shard", "offset", "end")}
        for line in lines(out)
    ]
    failures = [json.loads(line) for line in (out / "failures.jsonl").read_text().splitlines()]
    in_order = sorted(told, key=lambda line: str(line["file"]))
    return outputs(out, kind), in_order, sorted(failures, key=lambda line: str(line["file"]))


def zipped(photos: Path) -> Path:
    path = photos.with_suffix(".zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for photo in sorted(photos.rglob("*.png")):
            archive.write(photo, photo.relative_to(photos))
    return path


def tarred(photos: Path, suffix: str = ".tar") -> Path:
    path = photos.with_suffix(suffix)
    with tarfile.open(path, "w:gz" if suffix.endswith("gz") else "w") as archive:
        archive.add(photos, ".")
    return path


def listed(photos: Path) -> Path:
    path = photos / "list.txt"
    names = (str(photo.relative_to(photos)) for photo in sorted(photos.rglob("*.png")))
    path.write_text("\n".join(names))
    return path


def elsewhere(worker: Worker, row: dict[str, bytes]) -> bytes:
    """A row's answers, from another process in another folder."""
    program = (
        "import pickle, sys; worker, row = pickle.load(sys.stdin.buffer); "
        f"sys.stdout.buffer.write(worker(row)[{ANSWERS!r}])"
    )
    command, sent = [sys.executable, "-c", program], pickle.dumps((worker, row))
    return subprocess.run(command, input=sent, stdout=subprocess.PIPE, check=True, cwd="/").stdout


@pytest.mark.parametrize(
    "source",
    [lambda photos: photos, listed, zipped, tarred, lambda photos: tarred(photos, ".tar.gz")],
    ids=["folder", "list", "zip", "tar", "tar.gz"],
)
def test_a_parcel_is_answered_wherever_it_is_read(
    photos: Path, fake: Any, tmp_path: Path, source: Callable[[Path], Path], monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    relative = source(photos).relative_to(tmp_path)
    found = list(sources.found(str(relative), tmp_path / "out"))
    job = Job(str(relative), tmp_path / "out", "zones", in_flight=2)
    worker = Worker(Question(job, "1"), Connection(fake.address), 10.0)
    answers = pickle.loads(elsewhere(worker, {IMAGES: pickle.dumps(found)}))
    assert sorted(each.file for each in answers) == sorted(each.name for each in found)
    assert [each.file for each in answers if isinstance(each, Failure)] == [BROKEN]
    done = [each for each in answers if isinstance(each, Answer)]
    assert len(done) == COUNT
    assert all(each.files["classes.png"].startswith(b"\x89PNG") for each in done)


def test_what_ray_cannot_do_is_one_line(
    photos: Path, tmp_path: Path, free_address: str, capsys: Any, monkeypatch: Any
) -> None:
    words = ["batch", str(photos), "--out", str(tmp_path / "out"), "--model", "zones"]

    def told(*options: str) -> str:
        assert main([*words, *options]) == 2
        line = capsys.readouterr().err
        assert line.count("\n") == 1
        return str(line)

    assert "goes with --engine ray" in told("--ray-address", "auto")
    ray = ("--engine", "ray")
    assert "on one of its machines" in told(*ray, "--ray-address", "ray://head:10001")
    nobody = told(*ray, "--ray-address", free_address)
    assert nobody == f"anyres batch: no Ray cluster answers ({free_address})\n"
    for name in ("RAY_USAGE_STATS_ENABLED", "RAY_ENABLE_AUTO_CONNECT", "RAY_AUTH_MODE"):
        monkeypatch.setenv(name, "0")
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "anyres_client.jobs.engines.ray_data", raising=False)
    assert "pip install 'anyres[ray]'" in told(*ray)
    assert not (tmp_path / "out").exists()


def test_a_model_in_this_process_is_not_for_ray(photos: Path, tmp_path: Path, capsys: Any) -> None:
    pytest.importorskip("onnxruntime")
    words = ["batch", str(photos), "--out", str(tmp_path / "out"), "--local", "zones.onnx"]
    assert main([*words, "--engine", "ray"]) == 2
    assert "start `anyres serve`" in capsys.readouterr().err


@needs_ray
def test_what_the_server_says_at_once_is_said_before_a_cluster_is_begun(
    runs: Runs, fake: Any, tmp_path: Path, free_address: str
) -> None:
    nowhere = {"TMPDIR": str(tmp_path / "tmp"), "RAY_TMPDIR": str(tmp_path / "tmp")}
    ray = ("--engine", "ray")
    (tmp_path / "tmp").mkdir()
    nobody = runs.run(tmp_path / "out", *ray, "--server", free_address, **nowhere)
    assert nobody == (2, f"anyres batch: no server answers ({free_address})\n")
    code, told = runs.run(tmp_path / "out", *ray, "--model", "zone", **nowhere)
    assert (code, told.count("\n")) == (2, 1)
    assert "there is no model 'zone'; there are" in told
    assert not list((tmp_path / "tmp").iterdir()), "where Ray keeps a cluster's files"
    assert not (tmp_path / "out").exists()


@needs_ray
def test_ray_on_this_machine_writes_the_same_bytes_and_leaves_nothing(
    runs: Runs, tmp_path: Path, labels: Path
) -> None:
    for kind in ("local", "ray"):
        code, told = runs.run(tmp_path / kind, "--engine", kind, "--overlay", "--labels", labels)
        assert code == 1
        *skipped, summary, scores = told.splitlines()
        assert summary.startswith("1 predicted, 0 done before, 24 failed")
        assert scores.startswith("mean IoU")
        assert len(skipped) == 24
        assert all("skipped:" in line for line in skipped)
    assert everything(tmp_path / "ray", "folder") == everything(tmp_path / "local", "folder")
    assert (tmp_path / "ray/job.json").read_bytes() == (tmp_path / "local/job.json").read_bytes()
    assert not list(runs.home.iterdir())


@dataclass(frozen=True)
class Gate:
    """Lets some requests through, and holds those that follow until it is opened."""

    through: int
    at_once: int = 1  # held ones, that are waited for
    enough: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)
    held: list[int] = field(default_factory=list)

    def __call__(self, request: Any, context: grpc.ServicerContext) -> None:
        self.held.append(1)
        if len(self.held) >= self.through + self.at_once:
            self.enough.set()
        if len(self.held) > self.through:
            self.opened.wait(60)


@pytest.fixture
def two_nodes() -> Iterator[subprocess.Popen[str]]:
    """A cluster; its address is its first line."""
    process = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("two_nodes.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"},
    )
    yield process
    process.communicate(timeout=60)


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def say(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


@needs_ray
@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", KINDS)
def test_a_machine_that_is_killed_in_the_middle_costs_nothing_and_doubles_nothing(
    runs: Runs, fake: Any, tmp_path: Path, two_nodes: subprocess.Popen[str], kind: str
) -> None:
    layout = ("--as", kind, "--shard-size", 5)
    assert runs.run(tmp_path / "alone", *layout)[0] == 1
    fake.requests.clear()
    fake.refuse = gate = Gate(through=9, at_once=2)
    cluster = ("--engine", "ray", "--ray-address", said(two_nodes), "--in-flight", 2)
    job = runs.start(tmp_path / "cluster", *layout, *cluster, RAY_AUTH_MODE="disabled")
    assert gate.enough.wait(60), "one request of each machine is under way"
    say(two_nodes, "kill")
    assert said(two_nodes) == "killed"
    gate.opened.set()
    _, told = job.communicate(timeout=120)
    assert job.returncode == 1
    assert told.splitlines()[-1].startswith("24 predicted, 0 done before, 1 failed")
    assert len(fake.requests) > COUNT + 1, "what the lost machine had under way was asked again"
    assert everything(tmp_path / "cluster", kind) == everything(tmp_path / "alone", kind)


def processes_of(home: Path) -> list[str]:
    """Everything that was begun with this home, and runs."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"HOME={home}\0".encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_text().replace("\0", " "))
    return found


@needs_ray
@pytest.mark.exhaustive
def test_a_job_says_that_a_full_cluster_makes_it_wait_and_does_not_wait_for_ever(
    runs: Runs, tmp_path: Path, two_nodes: subprocess.Popen[str]
) -> None:
    address = said(two_nodes)
    say(two_nodes, "take")
    assert said(two_nodes) == "taken"
    cluster = ("--engine", "ray", "--ray-address", address, "--in-flight", 2)
    full = f"Ray's cluster {address} has no processor for this job: 0 of its 2 are free"
    code, told = runs.run(tmp_path / "out", *cluster, "--patience", 1, RAY_AUTH_MODE="disabled")
    assert code == 2
    assert told == (
        f"{full}; waiting, for 1 s at most\nanyres batch: {full}, and was waited for (--patience)\n"
    )
    assert not (tmp_path / "out").exists()
    job = runs.start(tmp_path / "out", *cluster, RAY_AUTH_MODE="disabled")
    assert job.stderr is not None
    assert job.stderr.readline() == f"{full}; waiting, for 300 s at most\n"
    say(two_nodes, "free")
    _, told = job.communicate(timeout=60)
    assert told.splitlines()[-1].startswith("24 predicted, 0 done before, 1 failed")


# What Ray's agents wait for where their machine's end is sudden: to tell somebody who is gone, too.
AGENTS_S = 90


@needs_ray
@pytest.mark.exhaustive
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.parametrize("ended", [signal.SIGKILL, signal.SIGINT], ids=["kill -9", "Ctrl-C"])
@pytest.mark.parametrize("kind", ["folder", "tar"])
def test_a_job_that_is_ended_leaves_no_process_and_goes_on_from_there(
    runs: Runs, fake: Any, tmp_path: Path, kind: str, ended: signal.Signals
) -> None:
    layout = ("--as", kind, "--shard-size", 5)
    assert runs.run(tmp_path / "alone", *layout)[0] == 1
    fake.refuse = gate = Gate(through=13)
    ray = ("--engine", "ray", "--in-flight", 2)
    job = runs.start(tmp_path / "out", *layout, *ray)
    assert gate.enough.wait(60)
    until(lambda: len(lines(tmp_path / "out")) >= 4)
    job.send_signal(ended)
    _, told = job.communicate(timeout=60)
    if ended == signal.SIGINT:
        assert (job.returncode, told.splitlines()[-1]) == (130, "anyres batch: interrupted")
    gate.opened.set()
    until(lambda: not [each for each in processes_of(runs.home) if "agent" not in each.lower()])
    before = len(lines(tmp_path / "out"))
    assert 4 <= before < COUNT
    fake.refuse = lambda *_: None
    fake.requests.clear()
    code, told = runs.run(tmp_path / "out", *layout, *ray)
    assert code == 1
    assert f"{COUNT - before} predicted, {before} done before, 1 failed" in told
    assert len(fake.requests) == COUNT - before + 1
    assert everything(tmp_path / "out", kind) == everything(tmp_path / "alone", kind)
    until(lambda: not processes_of(runs.home), AGENTS_S)


def until(true: Callable[[], bool], within_s: float = 60) -> None:
    deadline = monotonic() + within_s
    while not true():
        assert monotonic() < deadline
        sleep(0.05)


@needs_ray
@pytest.mark.exhaustive
def test_a_server_that_goes_away_ends_the_job_on_ray_and_keeps_what_is_done(
    runs: Runs, fake: Any, tmp_path: Path
) -> None:
    def leave(_: Any, context: grpc.ServicerContext) -> None:
        if len(fake.requests) > 12:
            context.abort(grpc.StatusCode.UNAVAILABLE, "the server is shutting down")

    fake.refuse = leave
    ray = ("--engine", "ray", "--in-flight", 1, "--patience", 0)
    code, told = runs.run(tmp_path / "out", *ray)
    assert code == 2
    assert told.splitlines()[-1] == (f"anyres batch: the server is shutting down ({fake.address})")
    before = len(lines(tmp_path / "out"))
    assert 8 <= before <= 12
    fake.refuse = lambda *_: None
    code, told = runs.run(tmp_path / "out")
    assert code == 1
    assert f"{COUNT - before} predicted, {before} done before, 1 failed" in told
