"""What a variant's card says: its model's words, its own graph's geometry, and how it compares."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
from onnx import ModelProto

from anyres_analyzer import Analysis, analyze
from anyres_exporter.card.compose import composed
from anyres_exporter.errors import NotProven
from anyres_exporter.precision.agreement import TOLERANCE
from anyres_exporter.precision.judge import Verdict
from anyres_exporter.precision.request import Asked
from anyres_exporter.precision.speed import noise, timed
from anyres_exporter.runtime import Runtime
from anyres_proto.card import Card, Description, Precision

_CHUNK = 1 << 20


def recorded(
    models: tuple[Path, ModelProto],
    asked: Asked,
    verdict: Verdict,
    card: Card,
    pictures: tuple[int, int],
) -> Precision:
    """Time a variant beside its model, and put down how it compares.

    Args:
        models: the fp32 file and the variant.
        asked: what was asked for.
        verdict: how far the variant's answers are from fp32's.
        card: of the model.
        pictures: how many it was calibrated on, and compared on.
    """
    threads = os.cpu_count() or 1
    image = noise(card, asked.side)
    model, graph = models
    fp32_s, variant_s = timed(*(Runtime(each, threads=threads) for each in models), image=image)
    high = 1 if card.input.layout == "NHWC" else 2
    calibrated = asked.kind == "int8"
    found = verdict.measured
    return Precision(
        kind=asked.kind,
        method=asked.method if calibrated else None,
        calibration=pictures[0] if calibrated else 0,
        pictures=pictures[1],
        agreement=found.agreement,
        minimum=asked.min_agreement,
        tolerance=TOLERANCE,
        mean_iou=found.mean_iou,
        max_abs_error=found.max_abs_error,
        mean_abs_error=found.mean_abs_error,
        graph_bytes=graph.ByteSize(),
        fp32_graph_bytes=_bare(model).ByteSize(),
        speedup=float(f"{fp32_s / variant_s:.3g}"),
        timed_at=(image.shape[high + 1], image.shape[high]),
        threads=threads,
        runtime=onnxruntime.__version__,
        kept=verdict.kept,
    )


def card_of(
    card: Card, analysis: Analysis, graph: ModelProto, precision: Precision, model: Path
) -> Card:
    """The variant's card; nothing of it was proven against PyTorch, so it has no proofs.

    Args:
        card: of the model.
        analysis: of the model.
        graph: the variant.
        precision: how it compares.
        model: the fp32 file, named by its digest.

    Raises:
        NotProven: sizes, field or tiles are not the model's.
    """
    name = f"{card.name}-{precision.kind}"
    anew = analyze(graph)
    _refuse_other_geometry(name, analysis, anew)
    own = {key: getattr(card, key) for key in Description.model_fields}
    made = composed(
        Description.model_validate(own | {"name": name}),
        anew,
        provenance=card.provenance | {"fp32 model": f"{card.name}, sha256 {_digest(model)}"},
        padding=card.padding,
    )
    return made.model_copy(
        update={"outputs": card.outputs, "sizes": card.sizes, "precision": precision}
    )


def _refuse_other_geometry(name: str, model: Analysis, variant: Analysis) -> None:
    for what, one, other in (
        ("sizes", _sizes(model), _sizes(variant)),
        ("receptive field", model.receptive_field, variant.receptive_field),
        ("tiles", _tiles(model), _tiles(variant)),
    ):
        if one != other:
            raise NotProven(f"{name} is not its model in its {what}: {other}; expected {one}")


def _sizes(analysis: Analysis) -> list[tuple[Any, ...]]:
    axes = (analysis.sizes.height, analysis.sizes.width)
    return [(axis.verdict, axis.minimum, axis.step, axis.maximum, axis.also) for axis in axes]


def _tiles(analysis: Analysis) -> tuple[Any, Any]:
    return analysis.tiling.height, analysis.tiling.width


def _bare(model: Path) -> ModelProto:
    graph = onnx.load(model)
    del graph.metadata_props[:]
    return graph


def _digest(model: Path) -> str:
    """Read in pieces: a model may be larger than what one likes to hold."""
    digest = sha256()
    with model.open("rb") as file:
        while piece := file.read(_CHUNK):
            digest.update(piece)
    return digest.hexdigest()
