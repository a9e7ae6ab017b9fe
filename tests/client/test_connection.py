"""Clients against servers behind TLS, tokens and names of several replicas."""

from __future__ import annotations

import datetime
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

from anyres_client import (
    Client,
    Connection,
    InvalidRequest,
    NotAllowed,
    NotServing,
    Tls,
    Unavailable,
)
from anyres_proto.anyres.v1 import dense_prediction_pb2_grpc as pb_grpc

x509 = pytest.importorskip("cryptography.x509")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    """A certificate for 127.0.0.1 that signs itself, and its key."""
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a test")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    (folder / "certificate.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return Tls(folder / "certificate.pem", folder / "certificate.pem", folder / "key.pem")


@pytest.fixture
def secured(fake: Any, certificate: Tls) -> Iterator[Callable[..., str]]:
    """`secured(mutual=True)` is the address of the fake behind TLS."""
    servers = []

    def serve(*, mutual: bool = False, host: str = "127.0.0.1") -> str:
        assert certificate.key
        assert certificate.certificate
        pair = certificate.key.read_bytes(), certificate.certificate.read_bytes()
        credentials = grpc.ssl_server_credentials([pair], pair[1] if mutual else None, mutual)
        server = grpc.server(ThreadPoolExecutor(2))
        pb_grpc.add_DensePredictionServiceServicer_to_server(fake, server)
        port = server.add_secure_port(f"{host}:0", credentials)
        server.start()
        servers.append(server)
        return f"{host}:{port}"

    yield serve
    for server in servers:
        server.stop(None).wait()


def test_a_server_is_known_by_who_signed_its_certificate(
    ask: Any, secured: Any, certificate: Tls
) -> None:
    known = Connection(secured(), Tls(certificate.authorities))
    assert [model.name for model in ask("models", address=known)] == ["broken", "things", "zones"]


@pytest.mark.parametrize("address", ["https://{}", "{}"])
def test_a_server_that_nobody_knows_is_not_spoken_to(ask: Any, secured: Any, address: str) -> None:
    stranger = Connection(address.format(secured()), None if "https" in address else Tls())
    with pytest.raises(Unavailable, match="certificate is not trusted"):
        ask("models", address=stranger)


def test_a_server_may_want_to_know_the_client(ask: Any, secured: Any, certificate: Tls) -> None:
    address = secured(mutual=True)
    assert ask("models", address=Connection(address, certificate))
    with pytest.raises(Unavailable):
        ask("models", address=Connection(address, Tls(certificate.authorities)))


def test_a_server_that_wants_to_be_spoken_to_in_another_way_is_no_server_that_is_not_there(
    fake: Any, secured: Any, certificate: Tls
) -> None:
    ways = {
        "the server hangs up: it may want TLS": Connection(secured()),
        "the server speaks without TLS": Connection(fake.address, Tls(certificate.authorities)),
    }
    for said, way in ways.items():
        with pytest.raises(Unavailable, match=said):
            Client(way).models()


def test_a_certificate_for_another_name_is_told(secured: Any, certificate: Tls) -> None:
    """The certificate is for 127.0.0.1 alone."""
    other = Connection(secured(host="127.0.0.2"), Tls(certificate.authorities))
    with pytest.raises(Unavailable, match="is for another name than this"):
        Client(other).models()


def test_a_server_that_starts_or_stops_is_there_and_does_not_serve(served: Any) -> None:
    served.health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    with pytest.raises(NotServing, match=r"starting or stopping.*does not serve now \(127"):
        Client(served.fake.address).models()


def test_what_does_not_speak_grpc_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(Unavailable, match="what is there does not speak gRPC, or hangs"):
            Client(address).models()


@pytest.mark.parametrize("contents", ["", "no certificate", "key"])
def test_authorities_that_are_none_are_named(
    certificate: Tls, tmp_path: Path, contents: str
) -> None:
    assert certificate.key
    path = tmp_path / "ca.pem"
    path.write_text(certificate.key.read_text() if contents == "key" else contents)
    with pytest.raises(InvalidRequest, match=r"ca\.pem holds no certificate \(PEM\)"):
        Client(tls=Tls(path)).models()


def test_a_certificate_and_another_key_are_named(certificate: Tls, tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("no key")
    with pytest.raises(InvalidRequest, match=r"key\.pem are no certificate and its key"):
        Client(tls=Tls(None, certificate.certificate, tmp_path / "key.pem")).models()


def test_a_certificate_without_its_key_is_refused(certificate: Tls) -> None:
    with pytest.raises(InvalidRequest, match="come together"):
        Client(tls=Tls(certificate=certificate.certificate)).models()


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"cannot read .*nobody\.pem"):
        Client(tls=Tls(tmp_path / "nobody.pem")).models()


def test_a_token_goes_with_every_call(ask: Any, fake: Any, photo: Path) -> None:
    def guard(_: Any, context: grpc.ServicerContext) -> None:
        if ("authorization", "Bearer sesame") not in context.invocation_metadata():
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "show a token")

    fake.refuse = guard
    assert ask("predict", photo, model="zones", address=Connection(fake.address, token="sesame"))
    with pytest.raises(NotAllowed, match="show a token"):
        ask("predict", photo, model="zones")


def test_a_token_is_not_shown_to_bystanders() -> None:
    assert "sesame" not in repr(Connection(token="sesame"))


def test_a_connection_brings_its_own_tls_and_token() -> None:
    with pytest.raises(InvalidRequest, match="brings its own"):
        Client(Connection("localhost:1"), token="sesame")


def test_compressed_requests_are_understood(ask: Any, fake: Any, photo: Path) -> None:
    plain = ask("predict", photo, model="zones")
    small = ask("predict", photo, model="zones", address=Connection(fake.address, compressed=True))
    assert (small.classes == plain.classes).all()


@pytest.fixture
def replicas() -> Iterator[list[Any]]:
    from tests.client.conftest import Fake, start

    running = [start(Fake()) for _ in range(3)]
    yield running
    for each in running:
        each.server.stop(None).wait()


def _all(replicas: list[Any]) -> str:
    return "ipv4:" + ",".join(each.fake.address for each in replicas)


def test_requests_go_round_the_replicas_of_a_name(photo: Path, replicas: list[Any]) -> None:
    with Client(_all(replicas)) as client:
        client.wait_ready()
        for _ in range(30):
            client.predict(photo, model="zones")
    shares = [len(each.fake.requests) for each in replicas]
    assert sum(shares) == 30
    assert min(shares) >= 6, shares  # the first few may go before all are connected


def test_a_replica_that_does_not_serve_is_not_asked(photo: Path, replicas: list[Any]) -> None:
    replicas[0].health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    with Client(_all(replicas)) as client:
        for _ in range(10):
            client.predict(photo, model="zones")
    assert [bool(each.fake.requests) for each in replicas] == [False, True, True]


def test_a_replica_that_dies_costs_no_request(photo: Path, replicas: list[Any]) -> None:
    with Client(_all(replicas)) as client:
        for round_ in range(20):
            if round_ == 5:
                replicas[0].server.stop(None).wait()
            assert client.predict(photo, model="zones").model == "zones"
