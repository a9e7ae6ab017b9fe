"""The only place that knows ONNX Runtime: opens a file, runs it, translates its errors.

Resident memory decides how many images a server can hold, so the CPU arena (which keeps what it
once took) and the memory pattern (one more block a new input shape) are off; every size is a new
one here. Threads sleep between runs instead of spinning: several models share the processors.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from anyres_server.engine.beside import weights_beside
from anyres_server.errors import InferenceFailed, ModelBroken, Overloaded
from anyres_server.model import Array

log = logging.getLogger(__name__)

# They share no base class but Exception.
ORT_ERRORS: tuple[type[Exception], ...] = (
    RuntimeError,
    MemoryError,
    *(
        error
        for error in vars(ort_errors).values()
        if isinstance(error, type) and issubclass(error, Exception)
    ),
)
OUT_OF_MEMORY = ("bad_alloc", "bad allocation", "Failed to allocate memory")


TAKEN = ("tensor(float)", "tensor(uint8)")
GIVEN = tuple(
    f"tensor({kind})"
    for kind in (
        *("float", "float16", "double", "bool"),
        *("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"),
    )
)


class Engine:
    """One network in ONNX Runtime."""

    def __init__(self, session: ort.InferenceSession, name: str) -> None:
        self._session = session
        self._name = name
        self._input = session.get_inputs()[0]

    @property
    def batches(self) -> bool:
        """Whether the number of images is free."""
        return not isinstance(self._input.shape[0], int)

    @property
    def metadata(self) -> dict[str, str]:
        """What the file says about itself."""
        return dict(self._session.get_modelmeta().custom_metadata_map)

    def __call__(self, images: Array, outputs: Sequence[str]) -> tuple[Array, ...]:
        """Run the network; blocks, and lets other threads run meanwhile.

        Raises:
            Overloaded: there was not enough memory.
            InferenceFailed: anything else; the log says what.
        """
        try:
            answers = self._session.run(list(outputs), {self._input.name: images})
        except ORT_ERRORS as error:
            shape = "x".join(map(str, images.shape))
            log.warning("%s broke on %s: %s", self._name, shape, error)
            if isinstance(error, MemoryError) or any(sign in str(error) for sign in OUT_OF_MEMORY):
                raise Overloaded(f"{self._name} ran out of memory on {shape}") from error
            raise InferenceFailed(f"{self._name} broke on an input of {shape}") from error
        found = tuple(map(np.asarray, answers))
        for answer in found:
            if answer.shape[:1] != (len(images),):
                rows = len(answer) if answer.ndim else 1
                raise InferenceFailed(f"{self._name} gave {rows} answers for {len(images)} images")
        return found


def open_engine(path: Path, threads: int) -> Engine:
    """Load an ONNX file for CPUs.

    Raises:
        ModelBroken: it cannot be loaded, or its input or outputs are none that are served.
    """
    options = _options(threads)
    if beside := weights_beside(path):
        options.add_external_initializers_from_files_in_memory(
            list(beside), list(beside.values()), list(map(len, beside.values()))
        )
    try:
        session = ort.InferenceSession(path, options, ["CPUExecutionProvider"])
    except ORT_ERRORS as error:
        log.warning("%s cannot be loaded: %s", path, error)
        raise ModelBroken(f"{path.name} cannot be loaded; the server's log says why") from error
    image = session.get_inputs()[0]
    if image.type not in TAKEN:
        raise ModelBroken(f"{image.name!r} is a {image.type}; taken are {' and '.join(TAKEN)}")
    for output in session.get_outputs():
        if output.type not in GIVEN:
            raise ModelBroken(f"{output.name!r} is a {output.type}; given are tensors of numbers")
    return Engine(session, path.name)


def _options(threads: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    options.log_severity_level = 4  # its errors come as exceptions too, and are logged here
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options
