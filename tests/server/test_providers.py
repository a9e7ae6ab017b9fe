"""What runs a model: asked for and there, asked for and missing, and held against the CPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb
from anyres_proto.card import Output
from anyres_proto.inference import grpc_service_pb2 as oip
from anyres_proto.inference.grpc_service_pb2_grpc import GRPCInferenceServiceStub
from anyres_server.engine.providers import PROVIDERS, asked_of, execution_of
from anyres_server.engine.session import open_engine
from anyres_server.errors import ProviderMissing, StartFailed
from anyres_server.model import Array, Execution
from anyres_server.repository.agreement import agreeing
from anyres_server.settings.per_model import ModelSettings
from anyres_server.settings.sections import Compute

Save = Callable[..., Path]
AVAILABLE = ort.get_available_providers()
openvino = pytest.mark.skipif(
    PROVIDERS["openvino"].runtime not in AVAILABLE, reason="needs onnxruntime-openvino"
)
MISSING = [name for name in ("openvino", "cuda") if PROVIDERS[name].runtime not in AVAILABLE]


@pytest.mark.parametrize("name", MISSING)
async def test_a_server_whose_provider_is_missing_does_not_start(serve: Any, name: str) -> None:
    package = PROVIDERS[name].package
    with pytest.raises(StartFailed, match=rf"compute.provider: .*{name}.*{package} brings it"):
        async with serve("stride4", compute_provider=name):
            pass


async def test_an_unknown_provider_is_told_those_that_there_are(serve: Any) -> None:
    with pytest.raises(StartFailed, match="no provider 'tpu'; there are cpu, openvino, cuda"):
        async with serve("stride4", compute_provider="tpu"):
            pass


async def test_a_precision_that_the_provider_lacks_is_refused(serve: Any) -> None:
    with pytest.raises(StartFailed, match="'cpu' computes in f32, not in 'bf16'"):
        async with serve("stride4", compute_precision="bf16"):
            pass


@pytest.mark.parametrize("name", MISSING[:1])
async def test_a_model_whose_own_provider_is_missing_is_broken_and_the_others_are_served(
    serve: Any, models: Path, save_model: Save, name: str
) -> None:
    (models / "stride4.toml").write_text(f'provider = "{name}"\n')
    save_model("unet")
    async with serve("stride4") as served:
        listed = {m.name: m for m in (await served.stub.ListModels(pb.ListModelsRequest())).models}
        assert listed["unet"].ready
        assert not listed["stride4"].ready
        assert f"the provider '{name}' is asked for" in listed["stride4"].reason


def test_a_models_settings_go_before_the_servers_and_another_provider_starts_afresh() -> None:
    usual = Compute(provider="openvino", precision="bf16", options={"device_type": "GPU"})
    same = execution_of(usual, ModelSettings())
    assert (same.provider, same.precision) == ("openvino", "bf16")
    assert same.options == {"device_type": "GPU"}
    exact = execution_of(usual, ModelSettings(precision="f32"))
    assert (exact.provider, exact.precision) == ("openvino", "f32")
    other = execution_of(usual, ModelSettings(provider="cpu"))
    assert other.usual
    assert other.options == {}


def test_options_of_ones_own_go_before_those_that_follow(monkeypatch: Any) -> None:
    monkeypatch.setattr(ort, "get_available_providers", lambda: [PROVIDERS["cuda"].runtime])
    exact = asked_of(Execution("cuda"), 4, narrow=False)
    assert exact == ("CUDAExecutionProvider", {"use_tf32": "0"})
    told = Execution("cuda", "tf32", options={"device_id": "1", "use_tf32": "0"})
    assert asked_of(told, 4, narrow=False)[1] == {"use_tf32": "0", "device_id": "1"}


def test_a_provider_that_is_there_and_does_not_start_is_no_silent_fall_back(
    save_model: Save, monkeypatch: Any
) -> None:
    """ONNX Runtime only writes a line then, and computes on the processor."""
    monkeypatch.setattr(ort, "get_available_providers", lambda: [PROVIDERS["cuda"].runtime])
    real = ort.InferenceSession

    def falls_back(path: Path, options: ort.SessionOptions, asked: Any) -> ort.InferenceSession:
        assert asked[0][0] == "CUDAExecutionProvider"
        return real(path, options, ["CPUExecutionProvider"])

    monkeypatch.setattr(ort, "InferenceSession", falls_back)
    with pytest.raises(ProviderMissing, match="is installed and does not start"):
        open_engine(save_model("stride4"), 1, Execution("cuda"))


class Rounded:
    """Stands for a provider that computes coarsely."""

    def __init__(self, network: Any, step: float) -> None:
        self._network, self._step = network, step

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)

    def __call__(self, images: Array, outputs: Sequence[str], **how: Any) -> tuple[Array, ...]:
        found = self._network(images, outputs, **how)
        return tuple(np.round(values / self._step) * self._step for values in found)


@pytest.mark.parametrize(("step", "good"), [(1e-6, True), (1e3, False)])
async def test_a_coarse_way_of_computing_is_held_against_the_cpu(
    serve: Any, models: Path, step: float, good: bool
) -> None:
    def opening(path: Path, *, threads: int) -> Any:
        return Rounded(open_engine(path, threads), step)

    (models / "stride4.toml").write_text('provider = "openvino"\nprecision = "bf16"\n')
    async with serve("stride4", opening=opening) as served:
        model = (await served.stub.ListModels(pb.ListModelsRequest())).models[0]
        assert model.ready == good
        if good:
            stub = GRPCInferenceServiceStub(served.channel)
            told = await stub.ModelMetadata(oip.ModelMetadataRequest(name="stride4"))
            assert told.properties["execution"] == "openvino bf16"
            assert float(told.properties["agreement"]) > 0.99
        else:
            assert "agrees with the CPU in f32; 99.00% is asked for" in model.reason


@pytest.mark.parametrize(
    ("output", "theirs", "ours", "share"),
    [
        (
            Output(channels=2, dense=True),
            [[[[0, 0, 9, 9]], [[1, 1, 1, 1]]]],
            [[[[0, 2, 9, 9]], [[1, 1, 1, 1]]]],
            0.75,
        ),
        (Output(channels=1, dense=True), [[[[10, 1]]]], [[[[10, 1.2]]]], 0.5),
        (
            Output(channels=3, dense=False, meaning="top_k_classes", classes=9),
            [[4, 5, 6]],
            [[4, 6, 5]],
            1 / 3,
        ),
    ],
)
def test_what_agrees_is_counted_by_what_an_output_means(
    output: Output, theirs: Any, ours: Any, share: float
) -> None:
    assert agreeing(np.array(ours), np.array(theirs), output) == pytest.approx(share)


@openvino
@pytest.mark.parametrize(("precision", "apart"), [("f32", 1e-5), ("bf16", 0.05)])
@pytest.mark.parametrize("wide", [True, False])
def test_openvino_answers_as_the_cpu_does(
    save_model: Save, precision: str, apart: float, wide: bool
) -> None:
    path = save_model("unet")
    theirs, ours = open_engine(path, 2), open_engine(path, 2, Execution("openvino", precision))
    for size in ((32, 48), (64, 16)):
        images = np.random.default_rng(1).random((1, 3, *size), np.float32)
        (expected,), (found,) = theirs(images, ["y"]), ours(images, ["y"], wide=wide)
        assert np.abs(found - expected).max() <= apart * np.abs(expected).max()


@openvino
async def test_a_server_says_how_a_model_is_run_and_how_well_it_agrees(serve: Any) -> None:
    how = {"compute_provider": "openvino", "compute_precision": "bf16", "compute_agreement": 0.9}
    async with serve("unet", **how) as served:
        stub = GRPCInferenceServiceStub(served.channel)
        told = await stub.ModelMetadata(oip.ModelMetadataRequest(name="unet"))
        assert told.properties["execution"] == "openvino bf16"
        assert 0.9 <= float(told.properties["agreement"]) <= 1
