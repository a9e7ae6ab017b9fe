"""A faster variant of an exported model, written only if it answers as the model does.

    calibrate ─> make ─> compare on the held-out half ─> time ─> check the sizes ─> write
                  ^                │ below the minimum
                  └── keep what hurts most in fp32

Sizes, field and tiles are derived anew from the variant's graph and must be the model's. Its graph
is the same to the byte for the same model and pictures; of its card only the measured speed is not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TypeAlias

from onnx.helper import tensor_dtype_to_np_dtype
from pydantic import ValidationError

from anyres_analyzer import Analysis, analyze
from anyres_analyzer.graph.skim import skimmed
from anyres_exporter.card.compose import Told, derived
from anyres_exporter.card.stamp import card_text
from anyres_exporter.card.write import write
from anyres_exporter.errors import BadRecipe, NotFaster
from anyres_exporter.precision.fp16 import fp16
from anyres_exporter.precision.half_weights import half_weights
from anyres_exporter.precision.halves import Half, halves
from anyres_exporter.precision.int8 import int8
from anyres_exporter.precision.judge import Judge, Verdict
from anyres_exporter.precision.maker import Maker
from anyres_exporter.precision.record import card_of, recorded
from anyres_exporter.precision.request import Asked
from anyres_exporter.runtime import Runtime
from anyres_proto.card import Card, Precision

Report: TypeAlias = Callable[[str], None]

LARGEST = 1 << 31  # bytes of weights; a protobuf message ends there
_TRY = {
    "int8": "calibrate the other way or on more pictures, take fp16, or lower --min-agreement",
    "fp16": "store the weights alone as fp16, or lower --min-agreement",
    "weights-fp16": "its weights need fp32, unless a lower --min-agreement will do",
}


@dataclass(frozen=True)
class Made:
    """What was written and where; `precision` of its card says how it compares."""

    path: Path
    card: Card
    precision: Precision


def faster(model: Path, asked: Asked, out: Path, report: Report = lambda _: None) -> Made:
    """Write `<out>/<name>-<kind>.onnx`, a variant of a model in less precision.

    Args:
        model: an ONNX file in fp32, with a card or without.
        asked: which variant, and how close it must come.
        out: a folder; made if missing.
        report: is told what is being done, in a few words.

    Raises:
        NotFaster: it does not answer as fp32 does, even where the worst layers stay in fp32; or
            nothing in it can be computed in less precision; or it is too large.
        NotProven: the variant takes other sizes, or tiles otherwise.
        BadRecipe: the file's card is none of ours.
        BadPicture: the folder or a picture in it cannot be used.
        DoesNotRun: ONNX Runtime does not run it on a picture.
        AnalysisError: the file cannot be read or analysed.
    """
    _refuse_giant(model)
    analysis = analyze(model)
    card = _card(model, analysis)
    calibration, held_out = halves(asked.pictures, card)
    fp32 = Runtime(model)
    report(f"calibrating on {len(calibration)} pictures" if asked.kind == "int8" else "converting")
    judge = Judge(fp32, _maker(model, asked, calibration), card.outputs, asked.min_agreement)
    report(f"comparing with fp32 on {len(held_out)} others")
    verdict = judge.verdict((), held_out)
    if not verdict.passes and asked.rescue:
        verdict = judge.rescued(calibration, held_out, report)
    _refuse_below(verdict, asked, len(judge.maker.layers))
    report("timing")
    graph = judge.maker.make(verdict.kept)
    pictures = (len(calibration), len(held_out))
    precision = recorded((model, graph), asked, verdict, card, pictures)
    made = card_of(card, analysis, graph, precision, model)
    return Made(write(graph, made, out), made, precision)


def _refuse_giant(model: Path) -> None:
    weights = sum(
        prod(tensor.dims) * tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        for tensor in skimmed(model).model.graph.initializer
    )
    if weights >= LARGEST:
        raise NotFaster(
            f"{model} has {weights / 1e9:.1f} GB of weights; variants are made of models below "
            f"{LARGEST / 1e9:.1f} GB, which are held whole"
        )


def _card(model: Path, analysis: Analysis) -> Card:
    """The file's own, or one that assumes the usual."""
    text = card_text(model)
    if text is None:
        return derived(Told(name=model.stem), analysis)
    try:
        return Card.model_validate_json(text)
    except ValidationError as error:
        raise BadRecipe(
            f"the card of {model} is none that this version reads: export the model again"
        ) from error


def _maker(model: Path, asked: Asked, calibration: Half) -> Maker:
    if asked.kind == "int8":
        return int8(model, calibration, asked.method)
    return {"fp16": fp16, "weights-fp16": half_weights}[asked.kind](model)


def _refuse_below(verdict: Verdict, asked: Asked, layers: int) -> None:
    if verdict.passes:
        return
    kept = f" even with {len(verdict.kept)} of {layers} layers in fp32" if verdict.kept else ""
    raise NotFaster(
        f"{asked.kind} agrees with fp32 in {verdict.measured.agreement:.2%} of the answers on the "
        f"pictures held out{kept}, and {asked.min_agreement:.2%} was asked for; {_TRY[asked.kind]}"
    )
