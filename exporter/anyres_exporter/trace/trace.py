"""From a PyTorch module to an ONNX graph, by torch's own exporter.

What torch declares dynamic is taken as a claim, not as a fact: it calls the axes of an FC head
dynamic, loses a U-Net's divisibility and gets an adaptive pool numerically wrong off the traced
size. The claim is checked by the analyzer and by the proof.
"""

from __future__ import annotations

import contextlib
import logging
import traceback
import warnings
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path

import onnx
import onnx_ir as ir
import torch
from torch import Tensor, nn
from torch.export import Dim

from anyres_exporter.errors import NotExportable
from anyres_exporter.trace.hints import hint
from anyres_exporter.trace.outputs import Flat, named

IMAGE = "image"


def traceable(model: nn.Module, example: Tensor) -> tuple[nn.Module, tuple[str, ...]]:
    """The model as torch traces it, and its outputs' names: with several, a tuple of them.

    Raises:
        NotExportable: it does not run, or returns something else than tensors.
    """
    size = f"{example.shape[3]}x{example.shape[2]}"
    model = getattr(model, "_orig_mod", model)  # what torch.compile was given
    try:
        with torch.inference_mode():
            output = model(example)
    except Exception as error:
        raise NotExportable(
            f"{type(model).__name__} does not run on a {size} image of {example.shape[1]} "
            f"channels: {_sentence(error)}"
        ) from error
    names = tuple(named(output))
    return (model if isinstance(output, Tensor) else Flat(model)), names


def trace(
    model: nn.Module,
    example: Tensor,
    names: tuple[str, ...],
    *,
    dynamic_size: bool,
    opset: int,
    log: Path,
) -> onnx.ModelProto:
    """The graph of a model in eval mode; batch is open, and with `dynamic_size` so are H and W.

    Args:
        model: takes (n, c, h, w) float32, returns one tensor or a tuple of them.
        example: (n, c, h, w) with n >= 2, at the size to trace.
        names: of the outputs.
        dynamic_size: whether H and W are to be left open.
        opset: of the default domain; 18 or newer, as torch writes it.
        log: where torch's own words go if it fails.

    Raises:
        NotExportable: torch could not; the message says why and what to do, its report is in `log`.
    """
    open_axes = {0: Dim("batch")}
    if dynamic_size:
        open_axes |= {2: Dim.AUTO, 3: Dim.AUTO}
    printed = StringIO()
    try:
        with _quiet() as printed, torch.no_grad():
            program = torch.onnx.export(
                model,
                (example,),
                dynamo=True,
                input_names=[IMAGE],
                output_names=list(names),
                dynamic_shapes=(open_axes,),
                opset_version=opset,
                verbose=False,
            )
    except Exception as error:
        log.parent.mkdir(parents=True, exist_ok=True)
        pages = [printed.getvalue(), *traceback.format_exception(error)]
        log.write_text("".join(pages), "utf-8")
        raise NotExportable(
            f"torch could not export {_type(model)}: {_explained(error)}; its full report is "
            f"in {log}"
        ) from error
    assert program is not None, "dynamo=True returns the program"
    _keep_apart(program.model.graph, names)
    return program.model_proto


def _keep_apart(graph: ir.Graph, names: Sequence[str]) -> None:
    """Call what is inside something else than the outputs: torch names it after its operator."""
    outputs = {id(value) for value in graph.outputs}
    for value in (value for node in graph.all_nodes() for value in node.outputs):
        if value.name in names and id(value) not in outputs:
            value.name = f"{value.name}.inner"


def _type(model: nn.Module) -> str:
    return type(model.network if isinstance(model, Flat) else model).__name__


def _explained(error: Exception) -> str:
    """What is wrong and what to do; torch's first words where the kind is none that is known."""
    known = hint("\n".join(_chain(error)))
    said = _sentence(error)
    return f"{known.wrong} ({said}). Try this: {known.do}" if known else said


@contextlib.contextmanager
def _quiet() -> Iterator[StringIO]:
    """torch's exporter narrates on every channel there is; what it prints is kept for the log."""
    printed = StringIO()
    below = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(printed),
        ):
            warnings.simplefilter("ignore")
            yield printed
    finally:
        logging.disable(below)


def _chain(error: BaseException | None) -> Iterator[str]:
    """What was raised, and what that was raised for."""
    while error is not None:
        yield f"{type(error).__name__}: {error}"
        error = error.__cause__ or error.__context__


def _sentence(error: Exception) -> str:
    cause = error.__cause__ or error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return (lines[0] if lines else type(cause).__name__)[:200].rstrip(".")
