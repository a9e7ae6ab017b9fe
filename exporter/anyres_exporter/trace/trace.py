"""From a PyTorch module to an ONNX graph, by torch's own exporter.

What torch declares dynamic is taken as a claim, not as a fact: it calls the axes of an FC head
dynamic, loses a U-Net's divisibility and gets an adaptive pool numerically wrong off the traced
size. The claim is checked by the analyzer and by the proof.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn
from torch.export import Dim

from anyres_exporter.errors import NotExportable

IMAGE, OUTPUT = "image", "logits"


def trace(model: nn.Module, example: Tensor, *, dynamic_size: bool, log: Path) -> onnx.ModelProto:
    """The graph of a model in eval mode; batch is open, and with `dynamic_size` so are H and W.

    Args:
        model: takes (n, c, h, w) float32, returns one tensor.
        example: (n, c, h, w) with n >= 2, at the size to trace.
        dynamic_size: whether H and W are to be left open.
        log: where torch's own words go if it fails.

    Raises:
        NotExportable: torch could not; the message is one sentence, its report is in `log`.
    """
    _refuse_what_does_not_run(model, example)
    open_axes = {0: Dim("batch")}
    if dynamic_size:
        open_axes |= {2: Dim.AUTO, 3: Dim.AUTO}
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                model,
                (example,),
                dynamo=True,
                input_names=[IMAGE],
                output_names=[OUTPUT],
                dynamic_shapes=(open_axes,),
                verbose=False,
            )
    except Exception as error:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(f"{type(error).__name__}: {error}\n")
        raise NotExportable(
            f"torch could not export {type(model).__name__}: {_sentence(error)}; "
            f"its full report is in {log}"
        ) from error
    assert program is not None, "dynamo=True returns the program"
    return program.model_proto


def _refuse_what_does_not_run(model: nn.Module, example: Tensor) -> None:
    """Of a model that cannot run at all torch's exporter writes a page; eager says it in a line."""
    size = f"{example.shape[3]}x{example.shape[2]}"
    try:
        with torch.inference_mode():
            output = model(example)
    except Exception as error:
        raise NotExportable(
            f"{type(model).__name__} does not run on a {size} image: {_sentence(error)}"
        ) from error
    if not isinstance(output, Tensor):
        raise NotExportable(
            f"{type(model).__name__} returns a {type(output).__name__}; expected one tensor, "
            "(n, channels, h, w) or (n, channels)"
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """torch's exporter narrates on the warnings and logging channels."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _sentence(error: Exception) -> str:
    cause = error.__cause__ or error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return (lines[0] if lines else type(cause).__name__)[:200]
