"""`anyres tune`: the recommendation follows from the seconds, and a server does what is written."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.server.command import run

from anyres_proto.inference import grpc_service_pb2 as oip
from anyres_proto.inference.grpc_service_pb2_grpc import GRPCInferenceServiceStub
from anyres_server.engine.session import open_engine
from anyres_server.model import Execution, Model, Size
from anyres_server.settings.per_model import read_model_settings
from anyres_server.tune.candidates import Candidate, candidates
from anyres_server.tune.measure import Measured
from anyres_server.tune.recommend import recommend, verdicts

SMALL, LARGE = (10, 10), (100, 200)
SWIFT = ("--sizes", "16-64", "--images", "3", "--seconds", "0.1")


@pytest.fixture
def model(save_model: Any) -> Model:
    from anyres_analyzer import analyze
    from anyres_server.repository.cards import card_of
    from anyres_server.repository.costs import costs

    path = save_model("stride4")
    found = analyze(path)
    return Model("m", "1", card_of("m", found), costs(found), open_engine(path, 1))


def measured(
    model: Model,
    alone: Mapping[Size, float],
    *,
    agreement: float | None = None,
    together: Mapping[tuple[Size, int], float] | None = None,
) -> Measured:
    how = Candidate(Execution(), 2)
    return Measured(how, replace(model, agreement=agreement), alone, alone, together or {})


def test_images_a_second_are_those_of_the_fastest_way_for_each_piece(model: Model) -> None:
    seconds = {SMALL: 0.1, LARGE: 2.0}
    found = measured(model, seconds, together={(SMALL, 4): 0.05})
    (verdict,) = verdicts([found], [{SMALL: 1}, {LARGE: 2, SMALL: 1}])
    assert verdict.images_s == pytest.approx(2 / (0.05 + 4.0 + 0.05))
    assert verdict.alone_ms == pytest.approx(1e3 * (0.1 + 4.1) / 2)


def test_the_fastest_that_agrees_is_recommended(model: Model) -> None:
    first, fast, wrong = (
        measured(model, {SMALL: seconds}, agreement=agreement)
        for seconds, agreement in ((0.2, None), (0.1, 0.995), (0.05, 0.9))
    )
    found = verdicts([first, fast, wrong], [{SMALL: 1}])
    assert recommend(found, 0.99).best.measured is fast
    assert recommend(found, 0.999).best.measured is first
    assert recommend(found, 0.5).best.measured is wrong


def test_what_is_hardly_faster_changes_nothing(model: Model) -> None:
    first, other = (measured(model, {SMALL: seconds}) for seconds in (0.101, 0.1))
    found = verdicts([first, other], [{SMALL: 1}])
    assert recommend(found, 0.99).best.measured is first


def test_batches_are_as_large_as_they_pay(model: Model) -> None:
    seconds = {SMALL: 0.1, LARGE: 1.0}
    together = {(SMALL, 2): 0.09, (SMALL, 4): 0.08, (SMALL, 8): 0.099, (LARGE, 2): 1.1}
    (verdict,) = verdicts([measured(model, seconds, together=together)], [{SMALL: 1}])
    found = recommend([verdict], 0.99)
    assert (found.max_batch_size, found.max_batch_pixels) == (4, 400)
    (alone,) = verdicts([measured(model, seconds, together={(LARGE, 2): 1.1})], [{SMALL: 1}])
    assert recommend([alone], 0.99).max_batch_size == 1


def test_half_of_the_processors_is_tried_where_that_is_not_one() -> None:
    def threads(processors: int) -> list[int]:
        return [each.threads for each in candidates(["cpu"], processors)]

    assert [threads(n) for n in (1, 2, 3, 8)] == [[1], [2, 1], [3, 1], [8, 4, 1]]
    both = {str(each.execution) for each in candidates(["cpu", "openvino"], 1)}
    assert both == {"cpu f32", "openvino f32", "openvino bf16"}


async def test_a_server_runs_a_model_as_it_was_tuned(
    serve: Any, models: Path, save_model: Any, capsys: Any
) -> None:
    path = save_model("stride4")
    beside = models / "stride4.toml"
    beside.write_text('# slow network\nmax_queue_delay_s = "5ms"  # for the folk upstairs\n')
    out = run(capsys, "tune", path, *SWIFT)
    assert (out.code, out.err) == (0, "")
    assert f"written to {beside}" in out.out
    text = beside.read_text()
    assert text.startswith('# slow network\nmax_queue_delay_s = "5ms"  # for the folk upstairs\n')
    written = tomllib.loads(text)
    assert (written["provider"], written["precision"]) == ("cpu", "f32")
    settings = read_model_settings(beside)
    assert settings.threads == written["threads"]
    opened: list[int] = []

    def opening(file: Path, *, threads: int) -> Any:
        opened.append(threads)
        return open_engine(file, threads)

    async with serve("stride4", opening=opening) as served:
        stub = GRPCInferenceServiceStub(served.channel)
        told = await stub.ModelMetadata(oip.ModelMetadataRequest(name="stride4"))
        assert told.properties["execution"] == "cpu f32"
    assert opened == [written["threads"]]


def test_every_figure_is_told_as_json_and_nothing_is_written_on_a_dry_run(
    models: Path, save_model: Any, capsys: Any
) -> None:
    out = run(capsys, "tune", save_model("stride4"), *SWIFT, "--dry-run", "--json")
    found = json.loads(out.out)
    first = found["candidates"][0]
    assert (first["provider"], first["precision"]) == ("cpu", "f32")
    assert 1 <= len(first["sizes"]) <= 3
    for times in first["sizes"].values():
        assert times["alone_ms"] > 0
        assert set(times["together_ms"]) == {"2", "4", "8"}
    assert set(found["recommended"]) >= {"provider", "threads", "max_batch_size"}
    assert [file.name for file in models.iterdir()] == ["stride4.onnx"]


def test_an_image_that_goes_in_tiles_is_measured_by_its_tiles(
    save_model: Any, capsys: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr("anyres_server.tune.tune.Memory", lambda: _Memory())
    path = save_model("stride4")
    out = run(capsys, "tune", path, "--sizes", "300x300", *SWIFT[2:], "--dry-run", "--json")
    sizes = json.loads(out.out)["candidates"][0]["sizes"]
    assert sizes
    assert all(max(map(int, size.split("x"))) < 300 for size in sizes)


class _Memory:
    activations, whole_image, tile = 2**18, 2**17, 2**17


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["gone.onnx"], "there is no file gone.onnx"),
        (["stride4.onnx", "--sizes", "big"], "--sizes is a range like 256-2048"),
        (["stride4.onnx", "--provider", "tpu"], "there is no provider 'tpu'"),
        (["broken.onnx"], "broken.onnx is not an ONNX model"),
        (["stride4.onnx", "--out", "bad.toml"], "bad.toml is no TOML"),
        (["stride4.onnx", "--out", "nowhere/m.toml"], "nowhere/m.toml cannot be written"),
    ],
)
def test_mistakes_are_one_line(
    models: Path, save_model: Any, capsys: Any, monkeypatch: Any, words: list[str], said: str
) -> None:
    save_model("stride4")
    (models / "broken.onnx").write_bytes(b"no")
    (models / "bad.toml").write_text("a = = b")
    monkeypatch.chdir(models)
    sizes = () if "--sizes" in words else SWIFT[:2]
    out = run(capsys, "tune", *words, *sizes, *SWIFT[2:])
    assert out.code == 2
    (line,) = out.err.strip().splitlines()
    assert said in line
