"""One conversion from the command line: convert, prove, measure, write the card, and say it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from rich.console import Console

from anyres_analyzer import Analysis
from anyres_exporter.card.compose import Told, composed, derived
from anyres_exporter.card.stamp import card_text
from anyres_exporter.card.write import write
from anyres_exporter.errors import BadPicture, BadRecipe
from anyres_exporter.pictures import decoded, pictures, prepared
from anyres_exporter.rewrite.convolutionalize.call import Pool
from anyres_exporter.rewrite.convolutionalize.convert import Converted, convert
from anyres_exporter.rewrite.convolutionalize.native import Native, prove
from anyres_exporter.rewrite.convolutionalize.patches import Patches, measure, middle, noises
from anyres_exporter.rewrite.convolutionalize.source import Size, read
from anyres_exporter.rewrite.convolutionalize.upsample import upsampled
from anyres_proto import card as cards
from anyres_proto.card import Card, Conversion, Description, ImageInput, Proof

MOST_PHOTOGRAPHS = 16
Upsample = Literal["bilinear", "none"]


@dataclass(frozen=True)
class Wanted:
    """The command's options; `size` is (h, w)."""

    size: Size | None
    pool: Pool
    upsample: Upsample
    images: Path | None


def convolutionalized(model: Path, out: Path, wanted: Wanted, console: Console) -> Path:
    """Convert a classifier, print what was proven and measured, and return where it was written.

    Raises:
        AnalysisError: the file cannot be read or analysed.
        ExportError: it cannot be converted or proven, or a picture cannot be used.
    """
    name = _name(out)
    with console.status(f"reading {model}"):
        converted = convert(read(model, wanted.size), pool=wanted.pool)
        final = upsampled(converted) if wanted.upsample == "bilinear" else converted
        described = _described(model, name, converted.analysis)
    with console.status("comparing with the classifier at its native size"):
        native = prove(converted)
        if final is not converted and not converted.answer.dropped:
            native = max(native, prove(final), key=lambda found: found.max_rel_error)
    with console.status("comparing dense answers with the classifier on every patch"):
        given = wanted.images is not None
        images = _photographs(converted, described.input, wanted.images)
        patches = measure(converted, images, photographs=given)
    record = _record(model, converted, wanted, native, patches)
    card = _card(described, final, record)
    path = write(final.model, card, out.parent)
    _say(console, path, final, card)
    return path


def _name(out: Path) -> str:
    """The model's name is the file's, so the file's must be a name."""
    if out.suffix != ".onnx" or not re.fullmatch(cards.NAME, out.stem):
        raise BadRecipe(
            f"--out {out} is no name for a model; expected letters, digits, _ . - and .onnx"
        )
    return out.stem


@dataclass(frozen=True)
class Described:
    """What a person said of the classifier, and which of it is assumed."""

    description: Description
    assumed: dict[str, str]

    @property
    def input(self) -> ImageInput:
        """How a picture becomes its input."""
        return self.description.input


def _described(model: Path, name: str, analysis: Analysis) -> Described:
    """As the classifier's card has it, or else what is usual."""
    text = card_text(model)
    if text is None:
        card = derived(Told(name=name, task="classification"), analysis)
        assumed = {key: said for key, said in card.provenance.items() if key == "assumed"}
    else:
        try:
            card, assumed = Card.model_validate_json(text), {}
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the whole"
            raise BadRecipe(f"the card of {model} is wrong at {where}: {first['msg']}") from error
    said = {key: getattr(card, key) for key in Description.model_fields}
    return Described(Description.model_validate(said | {"name": name}), assumed)


def _photographs(
    converted: Converted, image: ImageInput, folder: Path | None
) -> Iterator[NDArray[Any]]:
    """The middles of the first pictures in a folder that hold a patch; noise without a folder."""
    if folder is None:
        yield from noises(converted)
        return
    used = 0
    for path in pictures(folder):
        pixels = decoded(path, image)
        places = middle((pixels.shape[0], pixels.shape[1]), converted)
        if places is not None:
            used += 1
            yield prepared(np.ascontiguousarray(pixels[places]), image)
        if used == MOST_PHOTOGRAPHS:
            return
    if not used:
        height, width = converted.source.size
        raise BadPicture(f"no picture in {folder} is at least {width}x{height}, one patch")


def _record(
    model: Path, converted: Converted, wanted: Wanted, native: Native, patches: Patches
) -> Conversion:
    with model.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Conversion(
        source=digest,
        trained=(converted.source.size[1], converted.source.size[0]),
        window=(converted.answer.window[1], converted.answer.window[0]),
        pool=wanted.pool,
        upsample=wanted.upsample,
        max_abs_error=native.max_abs_error,
        max_rel_error=native.max_rel_error,
        patches=cards.Patches.model_validate(patches),
    )


def _card(described: Described, final: Converted, record: Conversion) -> Card:
    proof = Proof(
        batch=final.source.graph.batch,
        height=final.source.size[0],
        width=final.source.size[1],
        max_abs_error=record.max_abs_error,
        max_rel_error=record.max_rel_error,
    )
    card = composed(
        described.description,
        final.analysis,
        provenance=described.assumed,
        proofs=() if final.answer.dropped else (proof,),  # a cell's answer is not the classifier's
    )
    return card.model_copy(update={"conversion": record})


def _say(console: Console, path: Path, final: Converted, card: Card) -> None:
    record = card.conversion
    assert record is not None, "it has just been written"
    patches = record.patches
    width, height = record.trained
    few = patches.cells < patches.of
    lines = [
        f"{path}  {path.stat().st_size / 1e6:.1f} MB, {_answers(final, record)}: "
        f"width {card.sizes.width.expected()}, height {card.sizes.height.expected()}",
        f"  at {width}x{height} {_proven(final, record)}, "
        f"within {record.max_rel_error:.1e} of the largest value",
        f"  on {width}x{height} patches of {_images(patches)} its logits differ from the "
        f"classifier's by {patches.mean_abs_difference:.2g} on average and "
        f"{patches.max_abs_difference:.2g} at most ({patches.max_rel_difference:.2%} of the "
        f"largest); the class is the same on {patches.argmax_agreement:.1%} of "
        f"{patches.cells} patches" + f", taken evenly of {patches.of}" * few,
        *(f"  reason: {reason}" for reason in patches.reasons),
    ]
    if patches.photographs and "assumed" in card.provenance:
        lines.append(
            f"  the file has no card, so the photographs were prepared as is usual "
            f"({card.provenance['assumed']}); anyres card stamp says how"
        )
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True, markup=False)


def _answers(final: Converted, record: Conversion) -> str:
    height, width = final.analysis.output.stride
    if record.upsample == "bilinear":
        return "an answer for every pixel"
    of = "cell of the last map" if final.answer.dropped else "patch"
    each = f"{width}" if width == height else f"{width} by {height}"
    return f"an answer for every {of}, {each} pixels apart"


def _proven(final: Converted, record: Conversion) -> str:
    if not final.answer.dropped:
        return "it is the classifier"
    width, height = record.window
    if final.answer.bent:
        return f"each of {width}x{height} cells is answered as by the classifier's own last layers"
    return f"the mean of {width}x{height} cells is the classifier's answer"


def _images(patches: cards.Patches) -> str:
    several = "s" * (patches.images > 1)
    kind = f"photograph{several}" if patches.photographs else f"image{several} of seeded noise"
    return f"{patches.images} {kind}"
