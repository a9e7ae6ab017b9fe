"""A version's files become a model, or the reason why they cannot. Blocks."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from anyres_analyzer import Analysis
from anyres_analyzer.errors import AnalysisError
from anyres_proto.card import Tiling
from anyres_server.errors import ServingError
from anyres_server.model import LoadedNetwork, Model
from anyres_server.repository.cards import card_for, check_outputs
from anyres_server.repository.costs import costs
from anyres_server.repository.entries import Broken, Entry
from anyres_server.repository.files import Found
from anyres_server.settings.per_model import ModelSettings

log = logging.getLogger(__name__)

OpenEngine: TypeAlias = Callable[[Path, ModelSettings], LoadedNetwork]
Analyze: TypeAlias = Callable[[Path], Analysis]
Load: TypeAlias = Callable[[Found, ModelSettings], Entry]
Judge: TypeAlias = Callable[[Model, Path], Entry]

# Of a model's files. ONNX Runtime holds up to six copies while it opens them (measured with 140 MiB
# of convolutions: five with the weights in the file, six with the weights beside it), and two
# sessions' weights in the end. A server that has less than six spares what it has.
COPIES = (6, 2)


def loading_bytes(found: Found) -> tuple[int, ...]:
    """How much memory it takes to load a version: at its peak, and in the end."""
    return tuple(copies * found.bytes for copies in COPIES)


def _good(model: Model, _: Path) -> Entry:
    return model


def loader(open_engine: OpenEngine, analyze: Analyze, judge: Judge = _good) -> Load:
    """What loads models, whatever their files do to it; `judge` has the last word on one."""

    def load(found: Found, settings: ModelSettings) -> Entry:
        try:
            return judge(_load(found, settings, open_engine, analyze), found.path)
        except (ServingError, AnalysisError) as error:
            return _broken(found, str(error))
        except OSError as error:
            why = f"{found.path.name} cannot be read: {error.strerror}"
            return _broken(found, why, passing=True)
        except MemoryError:
            why = f"there is not enough memory to load {found.path.name}"
            return _broken(found, why, passing=True)
        except Exception:  # the others are served whatever this file does to its readers
            log.exception("model %s version %s broke the loader", found.name, found.version)
            return _broken(found, "its file broke the loader; the server's log says how")

    return load


def _broken(found: Found, reason: str, *, passing: bool = False) -> Broken:
    """Callers learn the file's name, not where it lies."""
    told = reason.replace(str(found.path), found.path.name)
    return Broken(found.name, found.version, told.replace(f"{found.path.parent}/", ""), passing)


def _load(
    found: Found, settings: ModelSettings, open_engine: OpenEngine, analyze: Analyze
) -> Model:
    analysis = analyze(found.path)
    network = open_engine(found.path, settings)
    card = card_for(found.name, network.metadata, analysis)
    tilings = {output.name: Tiling.model_validate(output.tiling) for output in analysis.outputs}
    model = Model(found.name, found.version, card, costs(analysis), network, tilings, settings)
    smallest = card.sizes.height.minimum, card.sizes.width.minimum
    check_outputs(card, analysis, model.cost(smallest).output_shapes)
    return model
