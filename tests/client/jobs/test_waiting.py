"""What is waited for: a model that is being loaded, a server that starts; and when no more."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2
from tests.client.conftest import Fake, Served, start

from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb

Status = health_pb2.HealthCheckResponse


class Loading(Fake):
    """Lists its models as not ready, the first few times that it is asked."""

    listed = 0
    ready_after = 2

    def ListModels(self, _: Any, context: grpc.ServicerContext) -> pb.ListModelsResponse:  # noqa: N802
        self.listed += 1
        if self.listed > self.ready_after:
            return super().ListModels(_, context)
        waiting = pb.ModelSummary(name="zones", versions=["1"], reason="it is being loaded")
        return pb.ListModelsResponse(models=[waiting])


@pytest.fixture
def served() -> Iterator[Served]:
    running = start(Loading())
    yield running
    running.server.stop(None).wait()


def test_a_model_that_is_being_loaded_when_the_job_starts_is_waited_for(
    batch: Any, fake: Any, caplog: pytest.LogCaptureFixture
) -> None:
    code, told = batch()
    assert (code, "7 predicted, 0 done before, 0 failed" in told) == (0, True)
    assert fake.listed == 3
    (said,) = [record.getMessage() for record in caplog.records]
    assert said == "model 'zones' is not ready: it is being loaded; asking again, for 300 s at most"


def test_a_model_that_never_comes_is_one_clear_line(batch: Any, fake: Any) -> None:
    fake.ready_after = 1000
    code, told = batch("--patience", 0.3)
    assert (code, told) == (2, "anyres batch: model 'zones' is not ready: it is being loaded\n")
    assert fake.listed > 1


def test_a_model_that_is_loaded_anew_while_the_job_runs_costs_no_image(
    batch: Any, fake: Any
) -> None:
    def loading(_: Any, context: grpc.ServicerContext) -> None:
        if 2 < len(fake.requests) < 8:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "model 'zones' is being loaded")

    fake.refuse, fake.ready_after = loading, 0
    code, told = batch()
    assert (code, "7 predicted, 0 done before, 0 failed" in told) == (0, True)


def test_a_model_that_breaks_while_the_job_runs_ends_it_and_a_rerun_goes_on(
    batch: Any, fake: Any
) -> None:
    def broken(_: Any, context: grpc.ServicerContext) -> None:
        if len(fake.requests) > 3:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "its file is torn")

    fake.refuse, fake.ready_after = broken, 0
    code, told = batch("--patience", 0.3, "--in-flight", 1)
    assert (code, told) == (2, f"anyres batch: its file is torn ({fake.address})\n")
    fake.refuse = lambda *_: None
    code, told = batch()
    assert (code, "4 predicted, 3 done before" in told) == (0, True)


def test_a_server_that_says_that_it_starts_is_waited_for(
    batch: Any, fake: Any, served: Served
) -> None:
    fake.ready_after = 0
    served.health.set("", Status.NOT_SERVING)
    begins = threading.Timer(0.5, served.health.set, ("", Status.SERVING))
    begins.start()
    code, _ = batch()
    begins.join()
    assert code == 0
