"""Problems and status codes, the same on both ends."""

from __future__ import annotations

import grpc
import pytest

from anyres_proto.status import Problem


@pytest.mark.parametrize("problem", Problem)
def test_a_problem_arrives_as_itself(problem: Problem) -> None:
    assert Problem.of(problem.code) is problem


def test_no_problem_is_a_success() -> None:
    assert grpc.StatusCode.OK not in {problem.code for problem in Problem}


def test_a_channel_retries_only_what_may_pass() -> None:
    assert Problem.UNAVAILABLE.code is grpc.StatusCode.UNAVAILABLE
    assert Problem.NOT_READY.code is not grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    "code", [grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS, grpc.StatusCode.ABORTED]
)
def test_a_code_that_no_problem_has_means_that_the_call_failed(code: grpc.StatusCode) -> None:
    assert Problem.of(code) is Problem.FAILED
