"""The Open Inference Protocol: a real server, asked by a stock client in a process of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator
from tests.server.stock import stock as stock_client

from anyres_proto.inference import grpc_service_pb2 as pb
from anyres_proto.inference import grpc_service_pb2_grpc as pb_grpc
from anyres_server.main import Running, running_server
from anyres_server.model import Array
from anyres_server.settings.settings import Settings

FCN = """
<ir_version: 8, opset_import: ["": 17]>
fcn (float[n, 3, h, w] image) => (float[n, 4, y, x] logits) {
    features = Conv <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]> (image, kernel)
    logits = Relu (features)
}
"""
CLASSIFIER = """
<ir_version: 8, opset_import: ["": 17]>
classifier (float[1, 3, 8, 6] image) => (float[1, 5] scores) {
    row = Flatten (image)
    scores = MatMul (row, weight)
}
"""
POOLED = """
<ir_version: 8, opset_import: ["": 17]>
pooled (float[n, 3, h, w] image) => (float[n, 4, 1, 1] means) {
    features = Conv <kernel_shape = [3, 3]> (image, kernel)
    means = GlobalAveragePool (features)
}
"""
WEIGHTS = {"kernel": (4, 3, 3, 3), "weight": (144, 5)}


def network(text: str) -> onnx.ModelProto:
    """A graph with the same random weights each time."""
    model = onnx.parser.parse_model(text)
    names = {name for node in model.graph.node for name in node.input} & WEIGHTS.keys()
    for name in names:
        values = np.random.default_rng(7).standard_normal(WEIGHTS[name], np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    return model


def expected(text: str, images: Array) -> Array:
    """The numbers that ONNX's own reference evaluator computes."""
    (output,) = ReferenceEvaluator(network(text)).run(None, {"image": images})
    return np.asarray(output)


def images(*shape: int) -> Array:
    return np.random.default_rng(3).random(shape, np.float32)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    for version in ("1", "3"):
        (tmp_path / "fcn" / version).mkdir(parents=True)
        onnx.save(network(FCN), tmp_path / "fcn" / version / "model.onnx")
    (tmp_path / "fcn" / "2").mkdir()
    (tmp_path / "fcn" / "2" / "model.onnx").write_bytes(b"this is no model")
    onnx.save(network(CLASSIFIER), tmp_path / "classifier.onnx")
    onnx.save(network(POOLED), tmp_path / "pooled.onnx")
    (tmp_path / "broken.onnx").write_bytes(b"this is no model")
    return tmp_path


@pytest.fixture
async def server(models: Path) -> AsyncIterator[Running]:
    async with running_server(
        Settings.model_validate({"models": models, "port": 0, "compute": {"threads": 1}})
    ) as running:
        yield running


@asynccontextmanager
async def our_stub(server: Running) -> AsyncIterator[pb_grpc.GRPCInferenceServiceAsyncStub]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield pb_grpc.GRPCInferenceServiceStub(channel)


async def stock(server: Running, *calls: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return await stock_client(server.port, *calls)


async def test_a_stock_client_sees_which_models_it_can_ask(server: Running) -> None:
    names = [
        {"model_name": "fcn"},
        {"model_name": "fcn", "model_version": "3"},
        {"model_name": "fcn", "model_version": "2"},
        {"model_name": "broken"},
        {"model_name": "nothing"},
    ]
    calls = [("is_model_ready", name) for name in names]
    outcomes = await stock(server, ("is_server_live", {}), ("is_server_ready", {}), *calls)
    assert [outcome["value"] for outcome in outcomes] == [
        *(True, True),
        *(True, True, False, False, False),
    ]


async def test_a_stock_client_reads_what_a_model_takes(server: Running) -> None:
    fcn, classifier, pooled, config, about = [
        outcome["value"]
        for outcome in await stock(
            server,
            ("get_model_metadata", {"model_name": "fcn", "as_json": True}),
            ("get_model_metadata", {"model_name": "classifier", "as_json": True}),
            ("get_model_metadata", {"model_name": "pooled", "as_json": True}),
            ("get_model_config", {"model_name": "fcn", "as_json": True}),
            ("get_server_metadata", {"as_json": True}),
        )
    ]
    assert fcn["versions"] == ["1", "3"]
    assert fcn["inputs"] == [
        {"name": "image", "datatype": "FP32", "shape": ["-1", "3", "-1", "-1"]}
    ]
    assert fcn["outputs"] == [
        {"name": "logits", "datatype": "FP32", "shape": ["-1", "4", "-1", "-1"]}
    ]
    assert classifier["inputs"][0]["shape"] == ["1", "3", "8", "6"]
    assert classifier["outputs"][0]["shape"] == ["1", "5"]
    assert pooled["outputs"][0]["shape"] == ["-1", "4", "1", "1"]
    assert config["config"]["input"] == [
        {"name": "image", "data_type": "TYPE_FP32", "dims": ["-1", "3", "-1", "-1"]}
    ]
    assert "max_batch_size" not in config["config"]  # 0: shapes include the batch axis
    assert about["name"] == "anyres"


async def test_the_properties_say_which_sizes_and_why(server: Running) -> None:
    async with our_stub(server) as stub:
        metadata = await stub.ModelMetadata(pb.ModelMetadataRequest(name="classifier"))
    assert metadata.properties["height"] == "8"
    assert metadata.properties["width"] == "6"
    assert metadata.properties["height_reason"]


async def test_a_call_that_is_not_served_says_so_and_no_extension_promises_it(
    server: Running,
) -> None:
    about, cuda = await stock(
        server,
        ("get_server_metadata", {"as_json": True}),
        ("get_cuda_shared_memory_status", {}),
    )
    extensions = about["value"]["extensions"]
    assert "statistics" in extensions
    assert "system_shared_memory" in extensions
    assert not {"cuda_shared_memory", "sequence", "schedule_policy"} & set(extensions)
    assert cuda["status"] == "StatusCode.UNIMPLEMENTED"
    assert "CudaSharedMemoryStatus is not served" in cuda["message"]


async def test_the_index_lists_every_version_and_why_one_is_broken(server: Running) -> None:
    (index,) = await stock(server, ("get_model_repository_index", {"as_json": True}))
    rows = {(row["name"], row["version"]): row for row in index["value"]["models"]}
    assert {key: row["state"] for key, row in rows.items()} == {
        ("broken", "1"): "UNAVAILABLE",
        ("classifier", "1"): "READY",
        ("fcn", "1"): "READY",
        ("fcn", "2"): "UNAVAILABLE",
        ("fcn", "3"): "READY",
        ("pooled", "1"): "READY",
    }
    assert rows["broken", "1"]["reason"]
    async with our_stub(server) as stub:
        ready = await stub.RepositoryIndex(pb.RepositoryIndexRequest(ready=True))
    assert [(row.name, row.version) for row in ready.models] == [
        *(("classifier", "1"), ("fcn", "1"), ("fcn", "3"), ("pooled", "1")),
    ]


@pytest.mark.parametrize("shape", [(1, 3, 1, 1), (2, 3, 7, 12), (1, 3, 33, 20)])
async def test_a_stock_client_gets_the_networks_numbers_at_any_size(
    server: Running, shape: tuple[int, ...]
) -> None:
    given = images(*shape)
    (outcome,) = await stock(
        server, ("infer", {"model": "fcn", "values": given.tolist(), "request_id": "seven"})
    )
    answer = outcome["value"]
    assert answer["id"] == "seven"
    assert answer["model"] == ["fcn", "3"]
    np.testing.assert_allclose(answer["outputs"]["logits"], expected(FCN, given), atol=1e-5)


async def test_a_stock_client_may_name_the_version_and_the_output(server: Running) -> None:
    given = images(1, 3, 8, 6)
    old, fixed = await stock(
        server,
        ("infer", {"model": "fcn", "values": given.tolist(), "model_version": "1"}),
        ("infer", {"model": "classifier", "values": given.tolist(), "outputs": ["scores"]}),
    )
    assert old["value"]["model"] == ["fcn", "1"]
    scores = fixed["value"]["outputs"]["scores"]
    np.testing.assert_allclose(scores, expected(CLASSIFIER, given), atol=1e-5)


async def test_a_stock_client_is_told_what_was_wrong(server: Running) -> None:
    small, tall = images(1, 3, 4, 4).tolist(), images(1, 3, 9, 6).tolist()
    cases = [
        ({"model": "fnc", "values": small}, "NOT_FOUND", "broken, classifier, fcn, pooled"),
        ({"model": "fcn", "model_version": "9", "values": small}, "NOT_FOUND", "1, 2, 3"),
        ({"model": "broken", "values": small}, "FAILED_PRECONDITION", "cannot be served"),
        ({"model": "fcn", "name": "x", "values": small}, "INVALID_ARGUMENT", "input 'image'"),
        ({"model": "fcn", "outputs": ["y"], "values": small}, "INVALID_ARGUMENT", "'logits'"),
        (
            {"model": "fcn", "values": small, "datatype": "FP64", "dtype": "float64"},
            "INVALID_ARGUMENT",
            "takes datatype FP32 or FP16 or UINT8 or BYTES; got 'FP64'",
        ),
        ({"model": "fcn", "values": small[0]}, "INVALID_ARGUMENT", "[-1, 3, -1, -1]"),
        (
            {"model": "fcn", "values": images(1, 4, 4, 4).tolist()},
            "INVALID_ARGUMENT",
            "[-1, 3, -1, -1]",
        ),
        ({"model": "classifier", "values": tall}, "INVALID_ARGUMENT", "H = 8 only, got 9"),
        (
            {"model": "classifier", "values": images(2, 3, 8, 6).tolist()},
            "INVALID_ARGUMENT",
            "one image at a time; got 2",
        ),
    ]
    outcomes = await stock(server, *(("infer", arguments) for arguments, _, _ in cases))
    for outcome, (_, code, words) in zip(outcomes, cases, strict=True):
        assert outcome["status"] == f"StatusCode.{code}"
        assert words in outcome["message"]
