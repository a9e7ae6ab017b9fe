"""`anyres bench`: what it prints adds up, and what it is told wrongly is one line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from math import log2
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb
from anyres_proto.card import SizeContract
from anyres_proto.tensors import to_array
from anyres_server.bench.served import serving
from anyres_server.bench.sizes import draw
from anyres_server.engine.bare import Way, open_bare, ways
from anyres_server.errors import InvalidRequest

ANYRES = (sys.executable, "-m", "anyres_client.main", "bench")


def axis(**fields: Any) -> dict[str, Any]:
    return {"verdict": "stepped", "minimum": 8, "step": 8, "reason": "it halves 3 times"} | fields


CONTRACT = SizeContract.model_validate({"height": axis(), "width": axis()})


def bench(*arguments: object) -> dict[str, Any]:
    command = [*ANYRES, *map(str, arguments), "--json", "--seconds", "0.4", "--clients", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def refused(*arguments: object) -> str:
    command = [*ANYRES, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    return line


@pytest.mark.slow
def test_a_benchmark_tells_both_sides_of_the_same_work(save_model: Any) -> None:
    model = save_model("unet")
    found = bench(model, "--sizes", "48x32", "--input", "fp32", "--output", "logits")
    assert (found["model"], found["protocol"]) == ("unet", "Open Inference Protocol")
    for side in ("beside", "alone"):
        ratio = found["server"]["images_s"] / found[side]["images_s"]
        by_pixels = found["server"]["megapixels_s"] / found[side]["megapixels_s"]
        assert by_pixels == pytest.approx(ratio), "both did the same images"
        laps = sorted(found[f"to_{side}"]["laps"])
        assert found[f"to_{side}"]["median"] == laps[len(laps) // 2]
        assert laps[0] <= ratio <= laps[-1]
    assert found["added"]["server_ms"] > found["added"]["network_ms"] > 0
    assert found["split"]["compute_ms"] > 0
    assert found["server"]["cpu_ms"] > found["alone"]["cpu_ms"] > 0
    (row,) = found["latency"]
    assert row["images"] == found["images"]
    assert row["server_ms"] == sorted(row["server_ms"])


@pytest.mark.slow
def test_a_server_that_runs_already_can_be_measured_and_tells_where_its_time_goes(
    save_model: Any,
) -> None:
    model = save_model("unet")
    with serving(model.parent) as served:
        sent = ("--input", "png", "--output", "class-map", "--sizes", "32-128")
        found = bench(model, "--server", served.address, *sent)
        assert served.process.poll() is None
    assert found["protocol"] == "anyres.v1"
    assert found["server"]["cpu_ms"] is None, "somebody else's process"
    assert found["split"]["compute_ms"] > 0
    assert sum(row["images"] for row in found["latency"]) == found["images"]
    longest = max(row["server_ms"][2] for row in found["latency"])
    assert sum(found["split"].values()) < 1.5 * longest, "it fits into what clients saw"


def test_what_cannot_be_measured_is_one_line_and_exit_code_two(
    save_model: Any, tmp_path: Path
) -> None:
    assert "there is no file" in refused(tmp_path / "nothing.onnx")
    model = save_model("unet")
    assert "the model takes height 2, 4, 6, ..." in refused(model, "--sizes", "32x33")


def test_a_range_is_drawn_evenly_by_octave_in_sizes_that_the_model_takes() -> None:
    drawn = draw("64-1024", CONTRACT, 4000)
    sides = np.array(drawn)
    assert ((sides % 8 == 0) & (sides >= 64) & (sides <= 1024)).all()
    octaves = Counter(int(log2(side)) for side in sides.ravel())
    assert all(0.2 < octaves[octave] / sides.size < 0.3 for octave in (6, 7, 8, 9))
    assert drawn == draw("64-1024", CONTRACT, 4000), "the same seed, the same sizes"
    assert drawn != draw("64-1024", CONTRACT, 4000, seed=1)


def test_named_sizes_are_width_by_height_and_each_as_often_as_the_others() -> None:
    assert Counter(draw("64x32,8x16", CONTRACT, 10)) == {(32, 64): 5, (16, 8): 5}


@pytest.mark.parametrize("words", ["", "12", "64x", "0x8", "64x64;8x8", "9-3", "64x32,7x8"])
def test_what_says_no_sizes_is_refused(words: str) -> None:
    with pytest.raises(InvalidRequest):
        draw(words, CONTRACT, 1)


def test_every_way_of_running_a_network_gives_the_same_answer(
    save_model: Any, network: Any
) -> None:
    from onnx.reference import ReferenceEvaluator

    model, image = save_model("unet"), np.random.default_rng(0).random((1, 3, 16, 24), np.float32)
    (wanted,) = ReferenceEvaluator(network("unet")).run(None, {"x": image})
    tried = ways(2)
    assert len(set(tried)) == len(tried) == 6
    for way in (*tried, *ways(1)):
        (answer,) = open_bare(model, way)(image, ["y"])
        np.testing.assert_allclose(answer, np.asarray(wanted), atol=1e-4)
    assert str(Way(2, 1, arena=True)) == "2 runs of 1 thread, arena on"


def test_a_client_reads_what_a_rehearsal_wrote(save_model: Any) -> None:
    """The rehearsed answers are real messages, as large as the server's."""
    from anyres_analyzer import analyze
    from anyres_server.bench.images import Images
    from anyres_server.bench.messages import messages
    from anyres_server.bench.work import In, Out, Work
    from anyres_server.model import OutputKind
    from anyres_server.repository.cards import card_of

    card = card_of("unet", analyze(save_model("unet")))
    for given, wanted in ((In.FP32, Out.LOGITS), (In.UINT8, Out.CLASS_MAP), (In.PNG, Out.LOGITS)):
        work = Work(card, ((16, 24),), ((16, 24),), given, wanted)
        made = messages(work, images := Images(work))
        (values,) = work.reduction.empty((16, 24)).values()
        values[:] = 1
        read, _ = made.read(made.answer(values))
        np.testing.assert_array_equal(read, values)
        assert made.request(0)
        assert images.input(0).shape == (1, 3, 16, 24)
    request = pb.PredictRequest.FromString(made.request(0))
    assert request.image.WhichOneof("source") == "encoded"
    assert list(work.reduction.kinds) == [OutputKind.LOGITS]
    assert to_array(pb.PredictResponse.FromString(made.answer(values)).outputs[0].tensor).any()
