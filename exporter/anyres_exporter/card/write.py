"""A graph and its card become a file, whole or not at all.

Where the weights lie in a file beside it, that is named by what is in it, so that no graph is ever
read with the weights of another:

    net.onnx ── net.3f9a61c2d07be845.data

The weights come first, then the graph takes the place of the one before in one step, then what only
that one used is removed. A reader finds the old pair, the new pair, or (for the moment in between,
when it has read the old graph and not yet opened its weights) an error; never a mixture.
"""

from __future__ import annotations

import re
from pathlib import Path

import onnx
from onnx import ModelProto

from anyres_exporter.errors import NotExportable
from anyres_exporter.storage import DIGITS, EXTERNAL_ABOVE, stored
from anyres_proto.card import METADATA_KEY, Card


def write(
    graph: ModelProto, card: Card, folder: Path, *, external_above: int = EXTERNAL_ABOVE
) -> Path:
    """Write `<folder>/<name>.onnx` with the card in its metadata, and return its path.

    Args:
        graph: is left as it is, and never serialized whole where its weights lie apart.
        card: the only metadata of the file.
        folder: made if missing.
        external_above: bytes of weights from which they lie in a file of their own.

    Raises:
        NotExportable: onnx's checker finds the graph wrong. No file is written or replaced.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{card.name}.onnx"
    partial = folder / f".{path.name}.partial"
    before = weights_beside(path)
    metadata = {METADATA_KEY: card.model_dump_json()}
    message, beside = stored(graph, path, metadata, external_above=external_above)
    weights = {beside} if beside else set()
    goes = {partial, *weights - before}
    try:
        partial.write_bytes(message.SerializeToString(deterministic=True))
        _check(partial, card.name)
        partial.replace(path)
        goes = before - weights
    finally:
        for each in goes:
            each.unlink(missing_ok=True)
    return path


def _check(path: Path, name: str) -> None:
    """By path: onnx then looks for the weights beside it, and into none of them."""
    try:
        onnx.checker.check_model(path, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        reason = str(error).strip().splitlines()[0]
        raise NotExportable(f"the graph of '{name}' is not valid ONNX: {reason}") from error


def weights_beside(path: Path) -> set[Path]:
    """Files of weights that were written for this graph, by this or an earlier export."""
    named = re.compile(rf"{re.escape(path.stem)}\.[0-9a-f]{{{DIGITS}}}\.data")
    return {each for each in path.parent.iterdir() if named.fullmatch(each.name)}
