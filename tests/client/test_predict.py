"""Both clients against a real gRPC server whose answers are arithmetic."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2
from PIL import Image

import anyres_client
from anyres_client import (
    Client,
    ClientError,
    DeadlineExceeded,
    InvalidRequest,
    ModelNotFound,
    ModelNotReady,
    NotRequested,
    Overloaded,
    ServerFailed,
    Unavailable,
)


def stripes() -> Any:
    return np.broadcast_to(np.repeat([0, 1, 2], 4), (6, 12))


def test_a_photo_comes_back_as_a_class_map_of_its_own_size(ask: Any, photo: Path) -> None:
    prediction = ask("predict", photo, model="zones")
    assert (prediction.classes == stripes()).all()
    assert prediction.image_size == prediction.grid_size == (6, 12)


def test_a_prediction_says_how_it_came_about(ask: Any, photo: Path) -> None:
    prediction = ask("predict", photo, model="zones")
    assert (prediction.model, prediction.version) == ("zones", "1")
    assert (prediction.route, prediction.pieces, prediction.padded) == ("tiled", 6, (1, 2))
    assert prediction.timing.total_s == 3.75
    assert prediction.class_names == ("dark sea", "wood [dense]", "bright sand")
    assert prediction.palette.tolist() == [[20, 40, 160], [30, 140, 60], [240, 200, 90]]


def test_every_output_is_there_when_asked_for(ask: Any, photo: Path) -> None:
    names = ["classes", "confidence", "top_k", "probabilities", "logits"]
    prediction = ask("predict", photo, model="things", output=names, top_k=2)
    assert prediction.grid_size == (2, 3)
    softmax = np.exp(prediction.logits) / np.exp(prediction.logits).sum(axis=0)
    assert np.allclose(prediction.probabilities, softmax)
    assert np.allclose(prediction.confidence, softmax.max(axis=0))
    assert prediction.top_k.classes.shape == prediction.top_k.scores.shape == (2, 2, 3)
    assert (prediction.top_k.classes[0] == prediction.classes).all()


@pytest.mark.parametrize("name", ["classes", "confidence", "top_k", "probabilities", "logits"])
def test_what_was_not_asked_for_is_an_error_that_says_what_to_ask(
    photo: Path, fake: Any, name: str
) -> None:
    other = "logits" if name != "logits" else "classes"
    with Client(fake.address) as client:
        prediction = client.predict(photo, model="zones", output=other)
    with pytest.raises(NotRequested, match=f"output='{name}'"):
        getattr(prediction, name)


def test_the_model_may_be_left_out_where_there_is_only_one(
    ask: Any, fake: Any, photo: Path
) -> None:
    fake.models = ("broken", "zones")
    assert ask("predict", photo).model == "zones"


def test_the_model_must_be_named_where_there_are_several(ask: Any, photo: Path) -> None:
    with pytest.raises(InvalidRequest, match="things, zones"):
        ask("predict", photo)


def test_no_ready_model_is_said(ask: Any, fake: Any, photo: Path) -> None:
    fake.models = ("broken",)
    with pytest.raises(
        ModelNotFound, match=r"no model that is ready \(broken: the file is no ONNX"
    ):
        ask("predict", photo)


def test_an_unknown_output_is_refused_before_anything_is_sent(
    ask: Any, fake: Any, photo: Path
) -> None:
    with pytest.raises(InvalidRequest, match=r"'mask'.*classes, confidence"):
        ask("predict", photo, model="zones", output="mask")
    assert not fake.requests


def test_a_card_is_asked_for_once(fake: Any, photo: Path) -> None:
    with Client(fake.address) as client:
        for _ in range(3):
            client.predict(photo, model="zones")
    assert fake.cards_sent == 1


def test_models_are_listed_with_those_that_did_not_load(ask: Any) -> None:
    broken, things, zones = ask("models")
    assert (broken.ready, broken.reason) == (False, "the file is no ONNX [model]")
    assert (things.ready, things.task) == (True, "classification")
    assert (zones.name, zones.versions, zones.sizes) == ("zones", ("1",), "any")


def test_a_card_is_read(ask: Any) -> None:
    assert ask("model", "things").output.stride == (4, 4)


def test_an_estimate_takes_height_before_width(ask: Any) -> None:
    estimate = ask("estimate", "zones", (300, 451))
    assert estimate.macs == 300_451
    assert (estimate.route, estimate.reason, estimate.compute_s) == ("refused", "big", None)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, InvalidRequest),
        (grpc.StatusCode.NOT_FOUND, ModelNotFound),
        (grpc.StatusCode.FAILED_PRECONDITION, ModelNotReady),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, Overloaded),
        (grpc.StatusCode.INTERNAL, ServerFailed),
        (grpc.StatusCode.DATA_LOSS, ServerFailed),
    ],
)
def test_a_refusal_is_the_servers_sentence_and_its_address(
    ask: Any, fake: Any, photo: Path, code: grpc.StatusCode, error: type[ClientError]
) -> None:
    fake.refuse = lambda _, context: context.abort(code, "so it is")
    with pytest.raises(error) as caught:
        ask("predict", photo, model="zones")
    assert type(caught.value) is error
    assert str(caught.value) == f"so it is ({fake.address})"


def test_a_server_that_is_not_there_is_unavailable(ask: Any, free_address: str) -> None:
    with pytest.raises(Unavailable) as caught:
        ask("models", address=free_address)
    assert str(caught.value) == f"no server answers ({free_address})"


def test_an_answer_that_takes_too_long_is_given_up(ask: Any, fake: Any, photo: Path) -> None:
    left = threading.Event()
    fake.refuse = lambda _, context: (context.add_callback(left.set), left.wait(5))
    with pytest.raises(DeadlineExceeded, match=fake.address):
        ask("predict", photo, model="zones", timeout=0.1)


def test_a_large_photo_is_sent_again_to_a_server_that_was_away(ask: Any, fake: Any) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (500, 500, 3), np.uint8)

    def away_twice(_: Any, context: grpc.ServicerContext) -> None:
        if len(fake.requests) <= 2:
            context.abort(grpc.StatusCode.UNAVAILABLE, "restarting")

    fake.refuse = away_twice
    assert ask("predict", pixels, model="zones").image_size == (500, 500)
    assert len(fake.requests) == 3


def test_waiting_for_a_server_that_starts_to_serve_ends_when_it_does(ask: Any, served: Any) -> None:
    said: list[bool] = []

    def serve() -> None:
        said.append(True)
        served.health.set("", health_pb2.HealthCheckResponse.SERVING)

    served.health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    ready = threading.Timer(0.05, serve)
    ready.start()
    ask("wait_ready", timeout=10)
    assert said
    ready.join()


def test_waiting_for_a_server_in_vain_ends_with_the_time(ask: Any, free_address: str) -> None:
    with pytest.raises(Unavailable, match=r"not ready within 0.1 s"):
        ask("wait_ready", timeout=0.1, address=free_address)


def test_an_overlay_asks_for_what_the_model_is_drawn_from(ask: Any, photo: Path) -> None:
    assert set(ask("predict", photo, model="zones", output="overlay").outputs) == {"classes"}
    heat = ask("predict", photo, model="things", output="overlay")
    assert set(heat.outputs) == {"classes", "top_k_classes", "top_k_scores"}


def test_every_public_name_is_there() -> None:
    assert all(getattr(anyres_client, name) for name in anyres_client.__all__)
    with pytest.raises(AttributeError, match="Klient"):
        anyres_client.Klient  # noqa: B018


def test_importing_the_package_loads_neither_grpc_nor_numpy() -> None:
    code = "import anyres_client, sys; print({'grpc', 'numpy', 'PIL'} & set(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert loaded.stdout == "set()\n"


def test_the_photo_may_be_upright_only_by_its_exif(ask: Any, fake: Any, tmp_path: Path) -> None:
    image = Image.new("RGB", (6, 4))
    image.getexif()[0x0112] = 6
    image.save(tmp_path / "turned.jpg", exif=image.getexif())
    with Image.open(tmp_path / "turned.jpg") as turned:
        ask("predict", turned, model="zones")
    assert list(fake.requests[0].image.tensor.shape) == [6, 4, 3]
