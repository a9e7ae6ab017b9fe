"""A classifier of one fixed size, as either of torch's exporters writes it by default."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import Literal

import onnx
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

Exporter = Literal["script", "dynamo"]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    logger = logging.getLogger("torch")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def exported(model: nn.Module, side: int, exporter: Exporter) -> onnx.ModelProto:
    """The classifier at its native size, as torch writes it by default."""
    image = torch.randn(1, 3, side, side)
    names = {"input_names": ["image"], "output_names": ["logits"]}
    with quiet():
        if exporter == "dynamo":
            program = torch.onnx.export(model, (image,), dynamo=True, verbose=False, **names)
            assert program is not None
            file: onnx.ModelProto = program.model_proto
            return file
        written = io.BytesIO()
        torch.onnx.export(model, (image,), written, dynamo=False, **names)
    return onnx.load_from_string(written.getvalue())
