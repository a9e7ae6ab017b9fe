"""`anyres serve --check`: everything is tried as a server would, nothing listens, and it ends."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import grpc.aio
import pytest
from tests.server.command import run
from tests.server.constant import put

from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb
from anyres_proto.anyres.v1.dense_prediction_pb2_grpc import DensePredictionServiceStub


def test_what_would_be_served_is_a_table_and_exit_code_zero(
    models: Path, save_model: Any, capsys: Any
) -> None:
    save_model("unet", task="segmentation")
    put(models / "net" / "3" / "model.onnx", 1)
    with socket.socket() as taken:  # it does not listen, so a port that is taken is no matter
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        out = run(capsys, "serve", "--check", models, "--port", taken.getsockname()[1])
    assert (out.code, out.err) == (0, "")
    rows = [line.split() for line in out.out.splitlines()]
    assert rows[0] == ["model", "version", "served", "width", "height", "task", "runs", "with"]
    assert rows[1][:3] == ["net", "3", "yes"]
    assert rows[2][:3] == ["unet", "1", "yes"]
    assert rows[2][-3:] == ["segmentation", "cpu", "f32"]
    assert rows[-1] == "2 of 2 can be served".split()


def test_a_model_that_cannot_be_served_is_told_and_exit_code_one(models: Path, capsys: Any) -> None:
    put(models / "net.onnx", 1)
    (models / "broken.onnx").write_bytes(b"no")
    put(models / "told.onnx", 1)
    (models / "told.toml").write_text("max_batch = 1\n")
    out = run(capsys, "serve", "--check", models)
    assert out.code == 1
    lines = out.out.splitlines()
    assert [line.split()[:3] for line in lines[1:4:2]] == [
        ["broken", "1", "no"],
        ["told", "1", "no"],
    ]
    assert lines[4].startswith("broken 1: broken.onnx is not an ONNX model")
    assert lines[5].startswith("told 1: told.toml:1: there is no setting max_batch")
    assert lines[-1].strip() == "1 of 3 can be served"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "memory.tile=x"], "--set memory.tile: memory.tile: expected bytes"),
        (["--set", "access.certificate=cert.pem"], "access.key"),
        (["--set", "limits.keepalive_s=inf"], "expected less than or equal to 604800; got inf"),
        (["--set", "limits.keepalive_s=1e12"], "expected less than or equal to 604800"),
        (["--set", "limits.connection_age_s=30000 h"], "expected less than or equal to 604800"),
        (["--set", "limits.connections=99999999999"], "expected less than or equal to 16777216"),
        (["--set", "limits.requests=99999999999"], "expected less than or equal to 16777216"),
        (["--set", "limits.streams=99999999999"], "expected less than or equal to 16777216"),
        (["--set", "limits.message_bytes=2 GiB"], "expected less than or equal to 2145386496"),
        (["--set", "limits.requests_per_s=inf"], "requests_per_s: expected a finite number"),
        (["--set", "repository.poll_s=inf"], "repository.poll_s: expected "),
        (["--set", "grace_s=1e300"], "grace_s: expected less than or equal to 31536000"),
        (["--set", "models=[3]"], "--set models: models: expected a path; got [3]"),
        (["--host", "nowhere.invalid"], "host: nothing can listen at 'nowhere.invalid': "),
        (["--host", "999.9.9.9"], "host: nothing can listen at '999.9.9.9': "),
        (["--host", ""], "--host: host: expected a name or an address to listen at"),
        (
            ["--set", "observe.metrics_port=0", "--set", "observe.metrics_host=192.0.2.1"],
            "observe.metrics_host: nothing can listen at '192.0.2.1': Cannot assign",
        ),
        (
            ["--port", "7", "--set", "observe.metrics_port=7"],
            "observe.metrics_port: 7 is the server's own port; expected another",
        ),
        (
            ["--set", "observe.traces_to=nonsense"],
            "--set observe.traces_to: observe.traces_to: expected http://HOST:PORT, or https://",
        ),
        *(
            (["--set", f"observe.traces_to={address}"], "expected http://HOST:PORT")
            for address in (
                "http://",
                "http://collector",
                "http://collector:99999",
                "http://collector:port",
                "http://my collector:4317",
                "http://[::1:4317",
                "http://collector:4318/v1/traces",
                "ftp://collector:4317",
                "collector:4317",
            )
        ),
        (["--set", "access.tokens=nowhere.toml"], "nowhere.toml: No such file or directory"),
        (["--set", "access.tokens=NOT_TOML"], "not.toml is no TOML: Expected"),
        (["--set", "access.tokens=NO_RIGHTS"], "rights.toml: alice.models: Field required"),
        (
            ["--set", "access.no_token=['anyres.v1.DensePredictionServices']"],
            "access.no_token: there is no service or call 'anyres.v1.DensePredictionServices'; "
            "the nearest is anyres.v1.DensePredictionService",
        ),
        (
            ["--set", "access.no_token=['anyres.v1.DensePredictionService/ListModel']"],
            "'anyres.v1.DensePredictionService/ListModel'; "
            "the nearest is anyres.v1.DensePredictionService/ListModels",
        ),
        (
            ["--set", "uploads.folder=/nowhere/at/all"],
            "uploads.folder: nothing can be written into /nowhere/at/all: No such file",
        ),
        (
            ["--set", "uploads.folder=NOT_TOML"],
            "not.toml: Not a directory",
        ),
        (
            ["--set", "memory.resident=1MiB"],
            "MiB, so it would read no message; expected more than that, and room for messages; "
            "got 1 MiB",
        ),
    ],
)
def test_a_setting_that_keeps_a_server_from_starting_is_exit_code_two(
    models: Path, tmp_path: Path, capsys: Any, arguments: list[str], said: str
) -> None:
    put(models / "net.onnx", 1)
    files = {"NOT_TOML": tmp_path / "not.toml", "NO_RIGHTS": tmp_path / "rights.toml"}
    files["NOT_TOML"].write_text("this is none")
    files["NO_RIGHTS"].write_text(f'[alice]\nsha256 = "{"0" * 64}"\n')
    for name, file in files.items():
        arguments = [each.replace(name, str(file)) for each in arguments]
    out = run(capsys, "serve", "--check", models, *arguments)
    assert out.code == 2
    (line,) = out.err.splitlines()
    assert said in line


def test_a_server_starts_with_the_largest_of_what_grpc_counts(models: Path, capsys: Any) -> None:
    put(models / "net.onnx", 1)
    largest = {
        "limits.keepalive_s": 604800,
        "limits.connection_age_s": 604800,
        "limits.connections": 2**24,
        "limits.requests": 2**24,
        "limits.streams": 2**24,
        "limits.message_bytes": 2046 * 2**20,
    }
    options = [each for name, most in largest.items() for each in ("--set", f"{name}={most}")]
    assert run(capsys, "serve", "--check", models, *options).code == 0


def test_an_empty_folder_and_a_missing_one_are_told(
    models: Path, tmp_path: Path, capsys: Any
) -> None:
    empty = run(capsys, "serve", "--check", models)
    assert empty.code == 1
    assert "there are no models: expected <name>.onnx" in empty.out
    missing = run(capsys, "serve", "--check", tmp_path / "nowhere")
    assert missing.code == 2
    assert "there is no folder" in missing.err


async def test_an_ipv6_address_needs_no_brackets(serve: Any) -> None:
    try:
        with socket.socket(socket.AF_INET6) as found:
            found.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6")
    async with (
        serve("unet", host="::1", observe_metrics_port=0) as served,
        grpc.aio.insecure_channel(f"[::1]:{served.server.port}") as channel,
    ):
        there = await DensePredictionServiceStub(channel).ListModels(pb.ListModelsRequest())
        assert [model.name for model in there.models] == ["unet"]
        healthz = f"http://[::1]:{served.server.metrics_port}/healthz"
        with await asyncio.to_thread(urlopen, healthz, timeout=5) as answer:
            assert answer.read() == b"SERVING\n"
