"""ONNX Runtime: opens a file with a provider, runs it, stops it, translates its errors.

A network is one graph in two sessions: a wide one, whose runs use all threads, for when there is
one piece to do; and a narrow one, whose runs stay in the thread that calls, so that several pieces
run at once and none waits for another at every node. ONNX Runtime packs weights for the processor
anew in each session, so the narrow one costs them once more; where they are large, narrow runs go
through the wide session and share its threads.

Resident memory decides how many images a server can hold, so the CPU arena (which keeps what it
once took) and the memory pattern (one more block a new input shape) are off; every size is a new
one here. Threads sleep between runs unless they are told to spin: models share the processors. They
are each session's own, because those of ONNX Runtime's global pool cannot be told to sleep; only
one wide run is under way at a time, so they do not get in each other's way.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from anyres_server.engine.beside import weights_beside
from anyres_server.engine.providers import asked_of
from anyres_server.errors import (
    InferenceFailed,
    ModelBroken,
    Overloaded,
    ProviderMissing,
    Stopped,
)
from anyres_server.model import Array, Execution, Stop

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
USUAL = Execution()
NARROW_BYTES = 2**29  # of a model's files, up to which its weights may be held twice


class Engine:
    """One network in ONNX Runtime."""

    def __init__(self, wide: ort.InferenceSession, narrow: ort.InferenceSession, name: str) -> None:
        self._wide = wide
        self._narrow = narrow
        self._name = name
        self._input = wide.get_inputs()[0]

    @property
    def batches(self) -> bool:
        """Whether the number of images is free."""
        return not isinstance(self._input.shape[0], int)

    @property
    def metadata(self) -> dict[str, str]:
        """What the file says about itself."""
        return dict(self._wide.get_modelmeta().custom_metadata_map)

    def __call__(
        self,
        images: Array,
        outputs: Sequence[str],
        *,
        wide: bool = True,
        stop: Stop | None = None,
    ) -> tuple[Array, ...]:
        """Run the network; blocks, and lets other threads run meanwhile.

        Raises:
            Stopped: it was stopped, between two nodes.
            Overloaded: there was not enough memory.
            InferenceFailed: anything else; the log says what.
        """
        session = self._wide if wide else self._narrow
        stop = stop or Stop()
        run = ort.RunOptions()
        run.log_severity_level = 4

        def terminate() -> None:
            run.terminate = True

        try:
            with stop.heard_by(terminate):
                answers = session.run(list(outputs), {self._input.name: images}, run)
        except ORT_ERRORS as error:
            raise self._translated(error, images, stop) from error
        found = tuple(map(np.asarray, answers))
        for answer in found:
            if answer.shape[:1] != (len(images),):
                rows = len(answer) if answer.ndim else 1
                raise InferenceFailed(f"{self._name} gave {rows} answers for {len(images)} images")
        return found

    def _translated(self, error: Exception, images: Array, stop: Stop) -> Exception:
        shape = "x".join(map(str, images.shape))
        if stop.said:
            return Stopped(f"{self._name} was stopped on {shape}")
        log.warning("%s broke on %s: %s", self._name, shape, error)
        if isinstance(error, MemoryError) or any(sign in str(error) for sign in OUT_OF_MEMORY):
            return Overloaded(f"{self._name} ran out of memory on {shape}")
        return InferenceFailed(f"{self._name} broke on an input of {shape}")


@dataclass(frozen=True, eq=False)
class _File:
    """An ONNX file, and the files that its weights lie in, read before it is loaded."""

    path: Path
    beside: dict[str, bytes]

    @property
    def bytes(self) -> int:
        """Of all of them."""
        return self.path.stat().st_size + sum(map(len, self.beside.values()))

    def session(
        self, threads: int, execution: Execution, *, narrow: bool = False
    ) -> ort.InferenceSession:
        """Load it, for runs of so many threads, or for so many runs at once of one each."""
        alone = narrow and execution.provider == "cpu"
        options = _options(1 if alone else threads, spin=execution.spin and not narrow)
        if self.beside:
            contents = list(self.beside.values())
            options.add_external_initializers_from_files_in_memory(
                list(self.beside), contents, list(map(len, contents))
            )
        asked = asked_of(execution, threads, narrow=narrow)
        try:
            session = ort.InferenceSession(self.path, options, [asked])
        except ORT_ERRORS as error:
            log.warning("%s cannot be loaded: %s", self.path, error)
            raise ModelBroken(
                f"{self.path.name} cannot be loaded; the server's log says why"
            ) from error
        if asked[0] not in session.get_providers():
            raise ProviderMissing(
                f"the provider {execution.provider!r} is installed and does not start: its device "
                f"or a library is missing, or an option is wrong; ONNX Runtime says why on stderr"
            )
        return session


def open_engine(path: Path, threads: int, execution: Execution = USUAL) -> Engine:
    """Load an ONNX file.

    Args:
        path: of the file.
        threads: of a wide run, and narrow runs at once.
        execution: what runs it, and how.

    Raises:
        ModelBroken: it cannot be loaded, or its input or outputs are none that are served.
        ProviderMissing: it is to be run with what is not there.
    """
    file = _File(path, weights_beside(path))
    wide = file.session(threads, execution)
    _check(wide)
    twice = threads > 1 and file.bytes <= NARROW_BYTES and execution.provider != "cuda"
    narrow = file.session(threads, execution, narrow=True) if twice else wide
    return Engine(wide, narrow, path.name)


def _check(session: ort.InferenceSession) -> None:
    image = session.get_inputs()[0]
    if image.type not in TAKEN:
        raise ModelBroken(f"{image.name!r} is a {image.type}; taken are {' and '.join(TAKEN)}")
    for output in session.get_outputs():
        if output.type not in GIVEN:
            raise ModelBroken(f"{output.name!r} is a {output.type}; given are tensors of numbers")


def _options(threads: int, *, spin: bool) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    options.log_severity_level = 4  # its errors come as exceptions too, and are logged here
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spin)))
    return options
