"""TLS with certificates that are replaced under a running server; handshakes are Python's own."""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)
from tests.server.certificates import DAY, Pair, authority, signed
from tests.server.command import run

from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb
from anyres_proto.anyres.v1.dense_prediction_pb2_grpc import DensePredictionServiceStub
from anyres_server.errors import StartFailed

HEALTHY = Path(__file__).parents[2] / "deploy" / "healthy"


@pytest.fixture(scope="module")
def ca() -> Pair:
    return authority()


@pytest.fixture
def files(tmp_path: Path, ca: Pair) -> tuple[Path, Path]:
    """The first server certificate, and its key."""
    return signed("the first", ca).write(tmp_path)


async def shown(port: int, ca: Pair) -> str:
    """The common name of the certificate that the server shows in a handshake."""
    context = ssl.create_default_context(cadata=ca.chain_pem.decode())
    context.set_alpn_protocols(["h2"])
    _, writer = await asyncio.open_connection("localhost", port, ssl=context)
    subject = writer.get_extra_info("peercert")["subject"]
    writer.close()
    name: str = dict(pair[0] for pair in subject)["commonName"]
    return name


def channel(port: int, ca: Pair, client: Pair | None = None) -> grpc.aio.Channel:
    shown = (client.key_pem, client.chain_pem) if client else ()
    return grpc.aio.secure_channel(
        f"localhost:{port}", grpc.ssl_channel_credentials(ca.chain_pem, *shown)
    )


async def asks(through: grpc.aio.Channel) -> grpc.StatusCode:
    stub = DensePredictionServiceStub(through)
    try:
        await stub.ListModels(pb.ListModelsRequest())
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def test_a_replaced_certificate_is_shown_without_a_restart_and_no_connection_is_dropped(
    serve: Any, files: tuple[Path, Path], tmp_path: Path, ca: Pair
) -> None:
    chain, key = files
    async with (
        serve("unet", access_certificate=chain, access_key=key) as served,
        channel(served.server.port, ca) as before,
    ):
        stub: Any = DensePredictionServiceStub(before)
        stream = stub.PredictStream()
        await stream.write(pb.PredictStreamRequest(id="before"))
        assert (await stream.read()).id == "before"
        assert await shown(served.server.port, ca) == "the first"

        await asyncio.to_thread(signed("the second", ca).write, tmp_path)
        async with asyncio.timeout(10):
            while await shown(served.server.port, ca) != "the second":
                pass  # each question is a handshake, in which the server may go on

        await stream.write(pb.PredictStreamRequest(id="after"))
        assert (await stream.read()).id == "after"
        await stream.done_writing()
        assert await asks(before) is grpc.StatusCode.OK
        async with channel(served.server.port, ca) as after:
            assert await asks(after) is grpc.StatusCode.OK


async def test_a_certificate_that_its_key_does_not_fit_replaces_nothing(
    serve: Any, files: tuple[Path, Path], ca: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    chain, key = files
    caplog.set_level(logging.INFO)
    async with serve("unet", access_certificate=chain, access_key=key) as served:
        other = signed("half", ca)
        await asyncio.to_thread(chain.write_bytes, other.chain_pem)
        async with asyncio.timeout(10):
            while "the old go on" not in caplog.text:
                assert await shown(served.server.port, ca) == "the first"
            await asyncio.to_thread(key.write_bytes, other.key_pem)
            while await shown(served.server.port, ca) != "half":
                pass


async def test_with_authorities_a_client_without_a_certificate_is_refused(
    serve: Any, files: tuple[Path, Path], tmp_path: Path, ca: Pair
) -> None:
    clients = authority("clients")
    authorities = tmp_path / "clients.crt"
    authorities.write_bytes(clients.chain_pem)
    chain, key = files
    async with serve(
        "unet", access_certificate=chain, access_key=key, access_client_authorities=authorities
    ) as served:
        for client, expected in (
            (None, grpc.StatusCode.UNAVAILABLE),
            (signed("mallory", authority("others")), grpc.StatusCode.UNAVAILABLE),
            (signed("alice", clients), grpc.StatusCode.OK),
        ):
            async with channel(served.server.port, ca, client) as through:
                assert await asks(through) is expected


async def test_who_speaks_plainly_to_a_server_with_tls_is_not_understood(
    serve: Any, files: tuple[Path, Path]
) -> None:
    chain, key = files
    async with serve("unet", access_certificate=chain, access_key=key) as served:
        assert await asks(served.channel) is grpc.StatusCode.UNAVAILABLE


def without_key(chain: Path, key: Path) -> dict[str, Path]:
    return {"access_certificate": chain}


def without_file(chain: Path, key: Path) -> dict[str, Path]:
    return {"access_certificate": chain, "access_key": key.with_name("nowhere")}


def swapped(chain: Path, key: Path) -> dict[str, Path]:
    return {"access_certificate": key, "access_key": chain}


def authorities_alone(chain: Path, key: Path) -> dict[str, Path]:
    return {"access_client_authorities": chain}


@pytest.mark.parametrize("wrong", [without_key, without_file, swapped, authorities_alone])
async def test_certificates_that_cannot_be_used_keep_the_server_from_starting(
    serve: Any, files: tuple[Path, Path], wrong: Callable[[Path, Path], dict[str, Path]]
) -> None:
    with pytest.raises(StartFailed, match=r"access\.certificate and access\.key|cannot be used"):
        async with serve("unet", **wrong(*files)):
            pass


def expired(ca: Pair, folder: Path) -> str:
    pair = signed("old", ca, begins=-3 * DAY)
    pair.write(folder)
    ended = pair.certificate.not_valid_after_utc
    return (
        rf"/tls\.crt expired at {ended:%Y-%m-%d %H:%M} UTC; expected a certificate that holds now"
    )


def not_yet(ca: Pair, folder: Path) -> str:
    pair = signed("young", ca, begins=DAY)
    pair.write(folder)
    begins = pair.certificate.not_valid_before_utc
    return rf"/tls\.crt is not valid before {begins:%Y-%m-%d %H:%M} UTC; here it is 20"


def of_somebody_else(ca: Pair, folder: Path) -> str:
    (folder / "tls.key").write_bytes(signed("else", ca).key_pem)
    return r"/tls\.key is not the key of the certificate .*/tls\.crt"


def not_a_key(ca: Pair, folder: Path) -> str:
    (folder / "tls.key").write_bytes((folder / "tls.crt").read_bytes())
    return r"/tls\.key is no private key in PEM"


def encrypted(ca: Pair, folder: Path) -> str:
    secret = BestAvailableEncryption(b"secret")
    pem = signed("shut", ca).key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secret)
    (folder / "tls.key").write_bytes(pem)
    return r"/tls\.key is encrypted; expected a key without a password"


def not_a_certificate(ca: Pair, folder: Path) -> str:
    (folder / "tls.crt").write_bytes((folder / "tls.key").read_bytes())
    return r"/tls\.crt holds no certificate in PEM"


def not_there(ca: Pair, folder: Path) -> str:
    (folder / "tls.key").unlink()
    return r"/tls\.key: No such file or directory"


SPOILT = [expired, not_yet, of_somebody_else, not_a_key, encrypted, not_a_certificate, not_there]


@pytest.mark.parametrize("spoil", SPOILT)
def test_the_check_tells_what_is_wrong_with_a_certificate_or_its_key_in_a_line(
    files: tuple[Path, Path],
    models: Path,
    ca: Pair,
    capsys: Any,
    spoil: Callable[[Pair, Path], str],
) -> None:
    chain, key = files
    said = spoil(ca, chain.parent)
    settings = f"access.certificate={chain}", f"access.key={key}"
    out = run(capsys, "serve", "--check", models, "--set", settings[0], "--set", settings[1])
    assert out.code == 2
    (line,) = out.err.splitlines()
    assert re.search(f"certificates cannot be used: .*{said}", line), line


async def test_the_health_probe_speaks_tls_where_the_server_does(
    serve: Any, files: tuple[Path, Path], ca: Pair, tmp_path: Path
) -> None:
    chain, key = files
    authorities = tmp_path / "ca.crt"
    authorities.write_bytes(ca.chain_pem)
    async with serve("unet", access_certificate=chain, access_key=key) as served:
        address = f"localhost:{served.server.port}"
        assert await healthy(address, ANYRES_ACCESS_CERTIFICATE=chain) == 0
        assert await healthy(address, HEALTHY_CA=authorities) == 0
        assert await healthy(address) == 1


async def test_the_health_probe_shows_a_certificate_where_clients_must(
    serve: Any, files: tuple[Path, Path], ca: Pair, tmp_path: Path
) -> None:
    chain, key = files
    authorities = tmp_path / "ca.crt"
    authorities.write_bytes(ca.chain_pem)
    folder = tmp_path / "probe"
    folder.mkdir()
    certificate, own_key = signed("probe", ca).write(folder)
    async with serve(
        "unet", access_certificate=chain, access_key=key, access_client_authorities=authorities
    ) as served:
        address = f"localhost:{served.server.port}"
        shown = {"HEALTHY_CERTIFICATE": certificate, "HEALTHY_KEY": own_key}
        assert await healthy(address, ANYRES_ACCESS_CERTIFICATE=chain, **shown) == 0
        assert await healthy(address, ANYRES_ACCESS_CERTIFICATE=chain) == 1


async def healthy(address: str, **environment: Path) -> int | None:
    said = {"HEALTHY_WITHIN": "2"} | {name: str(value) for name, value in environment.items()}
    probe = await asyncio.create_subprocess_exec(
        sys.executable, HEALTHY, address, env=said, stderr=asyncio.subprocess.DEVNULL
    )
    return await asyncio.wait_for(probe.wait(), 20)
