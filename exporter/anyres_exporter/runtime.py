"""A graph in ONNX Runtime on the CPU: the one place where the exporter runs what it made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi.onnxruntime_pybind11_state import (
    Fail,
    InvalidArgument,
    NotImplemented,
    RuntimeException,
)

from anyres_exporter.errors import DoesNotRun
from anyres_exporter.storage import is_larger, stored

_FAILURES = (Fail, InvalidArgument, NotImplemented, RuntimeException)
_PROVIDERS = ["CPUExecutionProvider"]
_FATAL = 4  # a size that fails is an answer here, not an incident


class Runtime:
    """One session: an image in, every output out by its name."""

    def __init__(self, graph: onnx.ModelProto | Path, *, threads: int = 0) -> None:
        """Load a graph, or a file with the weights beside it.

        Args:
            graph: what to run.
            threads: for one image; as many as there are cores by default.

        Raises:
            DoesNotRun: ONNX Runtime does not load it.
        """
        options = ort.SessionOptions()
        options.log_severity_level = _FATAL
        options.intra_op_num_threads = threads
        try:
            self._session = _session(graph, options)
        except _FAILURES as error:
            raise DoesNotRun(f"ONNX Runtime does not load it: {error}") from error
        self.input: str = self._session.get_inputs()[0].name
        self.outputs: tuple[str, ...] = tuple(out.name for out in self._session.get_outputs())

    def __call__(self, image: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Every output for one batch.

        Raises:
            DoesNotRun: not at this size; the message is the runtime's own.
        """
        try:
            answers = self._session.run(list(self.outputs), {self.input: image})
        except _FAILURES as error:
            raise DoesNotRun(str(error)) from error
        return dict(zip(self.outputs, answers, strict=True))


def _session(graph: onnx.ModelProto | Path, options: ort.SessionOptions) -> ort.InferenceSession:
    """Of a message, or by way of a file where it is too large for one."""
    if isinstance(graph, Path):
        return ort.InferenceSession(str(graph), options, providers=_PROVIDERS)
    if not is_larger(graph):
        return ort.InferenceSession(graph.SerializeToString(), options, providers=_PROVIDERS)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "graph.onnx"
        message, _ = stored(graph, path)
        path.write_bytes(message.SerializeToString())
        return ort.InferenceSession(str(path), options, providers=_PROVIDERS)


def first(answers: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """The first output: the one that is served."""
    return next(iter(answers.values()))
