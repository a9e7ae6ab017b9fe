"""Nonsense in every call of both services, under a memory limit: it blames the request.

The full assault, with Pillow's own broken images, is `benchmarks.server.hostile`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from benchmarks.server.calls import Method, methods
from benchmarks.server.hostile import (
    MORE,
    SETTINGS,
    assault,
    drawn,
    names,
    numbered,
    restore,
    show_pictures,
)
from benchmarks.server.messages import Names
from benchmarks.server.pictures import collection, wounded
from benchmarks.server.process import limit_memory, resident
from tests.server.conftest import save

from anyres_server.bench.served import Served, serving

MIB = 2**20
PILLOWS = next(iter(sorted(Path("out/hostile").glob("pillow-*/"))), None)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("models")
    for name in ("stride4", "unet", "gated"):
        save(folder, name)
    with serving(folder, {"ANYRES_COMPUTE_THREADS": "1", **SETTINGS}) as running:
        limit_memory(running.process.pid, MORE)
        yield running


@pytest.fixture(scope="module")
def channel(served: Served) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(served.address) as open_channel:
        yield open_channel


@pytest.fixture(scope="module")
def known(channel: grpc.Channel) -> Names:
    return names(channel)


@pytest.mark.parametrize("method", methods(), ids=lambda method: method.path.rpartition("/")[2])
def test_a_message_of_any_kind_is_answered_with_a_code_that_blames_it(
    channel: grpc.Channel, known: Names, method: Method
) -> None:
    tally = assault(channel, method, known, 25)
    assert tally.faults == []
    assert tally.codes.total() >= 25


def test_wounded_files_are_refused_or_read_and_never_break_anything(channel: grpc.Channel) -> None:
    restore(channel, "stride4")
    tally = show_pictures(channel, "stride4", numbered(drawn(wounded(), 200)))
    assert tally.faults == []
    assert set(tally.codes) == {"OK", "INVALID_ARGUMENT"}


@pytest.mark.exhaustive
@pytest.mark.skipif(PILLOWS is None, reason="python -m benchmarks.server.hostile fetches them")
def test_pillows_own_broken_images_are_refused_or_read(channel: grpc.Channel) -> None:
    restore(channel, "stride4")
    assert PILLOWS is not None
    tally = show_pictures(channel, "stride4", collection(PILLOWS))
    assert tally.faults == []
    assert tally.codes["OK"] > 100
    assert tally.codes["INVALID_ARGUMENT"] > 100


def test_after_all_that_the_server_is_up_and_holds_what_it_held(
    served: Served, channel: grpc.Channel
) -> None:
    restore(channel, "stride4")

    def again() -> int:
        tally = show_pictures(channel, "stride4", numbered(drawn(wounded(), 100)))
        assert tally.faults == []
        return resident(served.process.pid)

    before = again()
    assert max(again() for _ in range(3)) < before + 16 * MIB
    assert served.process.poll() is None


def test_a_fault_is_seen_where_there_is_one() -> None:
    """The judge itself: codes and words that it must not let pass."""
    from benchmarks.server.calls import Outcome

    def fault(code: Any, words: str) -> bool:
        return Outcome(code, words).fault is not None

    bad, internal = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.INTERNAL
    assert fault(internal, "internal error")
    assert fault(grpc.StatusCode.UNKNOWN, "")
    assert fault(bad, "ValueError: invalid literal")
    assert fault(bad, "cannot read /tmp/models/unet.onnx")
    assert fault(bad, "<class 'int'> has no")
    assert not fault(bad, "a tensor has 9 axes; expected at most 8")
