"""The models of a folder: `<name>.onnx` (version 1) and `<name>/<version>/model.onnx`.

A file that cannot be served does not keep the others from being served: it stays in the repository
as broken, with its reason. Of a model asked for without a version, the newest that works is meant.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from pydantic import ValidationError

from anyres_analyzer import Analysis
from anyres_analyzer.errors import AnalysisError
from anyres_proto.card import METADATA_KEY, Card, ImageInput, Output
from anyres_server.errors import ModelBroken, ModelNotFound, ServingError, StartFailed
from anyres_server.model import LoadedNetwork, Model

log = logging.getLogger(__name__)

OpenEngine: TypeAlias = Callable[[Path], LoadedNetwork]
Analyze: TypeAlias = Callable[[Path], Analysis]


@dataclass(frozen=True)
class Broken:
    """One version of a model that cannot be served, and why."""

    name: str
    version: str
    reason: str


Entry: TypeAlias = Model | Broken


@dataclass(frozen=True)
class Repository:
    """Every model by name, and its versions, oldest first."""

    models: Mapping[str, Mapping[str, Entry]]

    def get(self, name: str, version: str = "") -> Model:
        """A model that can be asked.

        Raises:
            ModelNotFound: there is none of that name or version; lists those there are.
            ModelBroken: it is there, but cannot be served.
        """
        versions = self.versions(name)
        if version and version not in versions:
            raise ModelNotFound(
                f"model {name!r} has no version {version!r}; there are {', '.join(versions)}"
            )
        entry = versions[version] if version else newest(versions)
        if isinstance(entry, Broken):
            raise ModelBroken(f"model {name!r} cannot be served: {entry.reason}")
        return entry

    def versions(self, name: str) -> Mapping[str, Entry]:
        """The versions of a model.

        Raises:
            ModelNotFound: there is no such model; lists those there are.
        """
        if name not in self.models:
            names = ", ".join(self.models) or "none"
            raise ModelNotFound(f"there is no model {name!r}; there are: {names}")
        return self.models[name]


def newest(versions: Mapping[str, Entry]) -> Entry:
    """The newest version that works; the newest of all where none does."""
    entries = list(versions.values())
    return next((e for e in reversed(entries) if isinstance(e, Model)), entries[-1])


def load_repository(folder: Path, open_engine: OpenEngine, analyze: Analyze) -> Repository:
    """Load every model of a folder.

    Raises:
        StartFailed: there is no such folder.
    """
    if not folder.is_dir():
        raise StartFailed(f"there is no folder {folder}; expected one with <name>.onnx files")
    models: dict[str, dict[str, Entry]] = {}
    for name, version, path in sorted(_files(folder), key=lambda found: (found[0], int(found[1]))):
        entry = _entry(name, version, path, open_engine, analyze)
        if version in models.setdefault(name, {}):
            entry = Broken(name, version, "two files claim to be this version")
        models[name][version] = entry
    return Repository(models)


def _files(folder: Path) -> Iterator[tuple[str, str, Path]]:
    for path in folder.glob("*.onnx"):
        yield path.stem, "1", path
    for path in folder.glob("*/*/model.onnx"):
        version = path.parent.name
        if version.isascii() and version.isdigit():
            yield path.parent.parent.name, version, path
        else:
            log.warning("%s is not served: versions are whole numbers, not %r", path, version)


def _entry(name: str, version: str, path: Path, open_engine: OpenEngine, analyze: Analyze) -> Entry:
    try:
        model = _load(name, version, path, open_engine, analyze)
    except (ServingError, AnalysisError) as error:
        log.warning("model %s version %s cannot be served: %s", name, version, error)
        return Broken(name, version, str(error).replace(str(path), path.name))
    except Exception:  # the others are served whatever this file does to its readers
        log.exception("model %s version %s cannot be served", name, version)
        return Broken(name, version, "its file broke the loader; the server's log says how")
    log.info("model %s version %s is ready", name, version)
    return model


def _load(name: str, version: str, path: Path, open_engine: OpenEngine, analyze: Analyze) -> Model:
    analysis = analyze(path)
    engine = open_engine(path)
    card = _card(name, engine, analysis)
    model = Model(name, version, card, analysis.cost, engine)
    _check_input(card.input, analysis)
    smallest = card.sizes.height.minimum, card.sizes.width.minimum
    _check_outputs(card, analysis, model.cost(smallest).output_shapes)
    return model


def _check_input(said: ImageInput, analysis: Analysis) -> None:
    taken = analysis.input
    is_so = (taken.name, taken.dtype, taken.layout, taken.channels)
    if (said.name, said.dtype, said.layout, said.channels) != is_so:
        raise ModelBroken(
            f"its card says input {said.name!r} is {said.dtype} {said.layout} of {said.channels} "
            f"channels; its graph takes {taken.name!r}, {taken.dtype} {taken.layout} of "
            f"{taken.channels}"
        )


def _check_outputs(card: Card, analysis: Analysis, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """The first output is served; the others need only be there."""
    made = {output.name: output.dtype for output in analysis.outputs}
    for said in card.outputs:
        if made.get(said.name) != said.dtype:
            there = ", ".join(f"{name!r} ({dtype})" for name, dtype in made.items())
            raise ModelBroken(
                f"its card speaks of output {said.name!r} ({said.dtype}); its graph gives {there}"
            )
    output = card.output
    shape = shapes[output.name]
    if _channels(output, shape) != output.channels:
        maps = _MAPS[output.layout].format(output.channels)
        raise ModelBroken(
            f"its output has shape {shape}; served are (n, {output.channels}) and {maps}"
        )


_MAPS = {"NCHW": "(n, {0}, h, w)", "NHWC": "(n, h, w, {0})", "NHW": "(n, h, w)"}


def _channels(output: Output, shape: tuple[int, ...]) -> int | None:
    """How many channels an output of this shape has; None where it is none that is served."""
    match len(shape):
        case 1:
            return 1
        case 2:
            return shape[1]
        case 3:
            return 1 if output.layout == "NHW" else None
        case 4:
            return shape[3 if output.layout == "NHWC" else 1]
        case _:
            return None


def _card(name: str, engine: LoadedNetwork, analysis: Analysis) -> Card:
    text = engine.metadata.get(METADATA_KEY)
    try:
        return card_of(name, analysis) if text is None else Card.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise ModelBroken(f"its card is wrong at {where}: {first['msg']}") from error


def card_of(name: str, analysis: Analysis) -> Card:
    """The card of a model that brings none: what its graph says, and the usual pixels (0..1)."""
    channels = analysis.input.channels
    return Card.model_validate(
        {
            "name": name,
            "description": "Made from the graph: the file has no card.",
            "task": "unknown",
            "input": ImageInput(
                name=analysis.input.name,
                channels=channels,
                dtype="uint8" if analysis.input.dtype == "uint8" else "float32",
                layout="NHWC" if analysis.input.layout == "NHWC" else "NCHW",
                colour="GRAY" if channels == 1 else "RGB",
                mean=(0.0,) * channels,
                std=(1.0,) * channels,
            ),
            "outputs": tuple(map(Output.model_validate, analysis.outputs)),
            "sizes": analysis.sizes,
            "receptive_field": analysis.receptive_field,
            "tiling": analysis.tiling,
            "parameters": analysis.parameters,
        }
    )
