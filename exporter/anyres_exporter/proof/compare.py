"""The proof: the exported graph against PyTorch eager, at sizes that the export never saw.

Numbers are compared, not shapes: a graph can take a size and be wrong. A batch is compared with the
model's answers to its images one by one, so a graph, or a model, that mixes them is found out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from anyres_exporter.errors import DoesNotRun, NotExportable
from anyres_exporter.proof.difference import Answers, Array, Difference, differences
from anyres_exporter.proof.sizes import Size
from anyres_exporter.runtime import Runtime
from anyres_exporter.trace.outputs import named

Oracle: TypeAlias = nn.Module | Callable[[Array], Answers]
_STOPPED = re.compile(r"running (\w+) node\. Name:'([^']*)' Status Message: (?:\S+\(\d+\) )?(.*)")
Images: TypeAlias = Callable[[int, int, int, int], Array]


@dataclass(frozen=True)
class Comparison:
    """One size: how far each output is from the model's.

    `failure` says why nothing can be said of numbers: the runtime's words, the model's, or ours.
    """

    batch: int
    height: int
    width: int
    outputs: tuple[Difference, ...] = ()
    failure: str = ""

    @property
    def agrees(self) -> bool:
        """Whether the graph is the model at this size."""
        return not self.failure and all(output.agrees for output in self.outputs)

    @property
    def worst(self) -> Difference:
        """The output that is furthest from the model's."""
        return max(self.outputs, key=lambda output: (not output.agrees, output.badness))

    @property
    def max_abs_error(self) -> float:
        """The largest difference of any output."""
        return max((output.absolute for output in self.outputs), default=0.0)

    @property
    def max_rel_error(self) -> float:
        """The largest, relative to the largest magnitude of its own output."""
        return max((output.relative for output in self.outputs), default=0.0)

    @property
    def argmax_agreement(self) -> float | None:
        """The smallest share of cells with the same highest channel; None without channels."""
        return min((o.agreement for o in self.outputs if o.agreement is not None), default=None)

    def said(self) -> str:
        """What is wrong, in a line."""
        if self.failure:
            stopped = _STOPPED.search(self.failure)
            told = "ONNX Runtime stops at '{0[2]}' ({0[1]}): {0[3]}"
            return told.format(stopped) if stopped else self.failure.splitlines()[0]
        which = f"output '{self.worst.output}' " if len(self.outputs) > 1 else ""
        return which + self.worst.said()


def compare(
    model: Oracle,
    graph: onnx.ModelProto,
    sizes: Iterable[Size],
    channels: int,
    *,
    images: Images | None = None,
) -> Iterator[Comparison]:
    """Each (batch, h, w) in turn; the caller may stop at the first that fails.

    Args:
        model: an `nn.Module`, or what takes an image as an array and answers arrays by name.
        graph: what is to be the model.
        sizes: (batch, h, w), all sizes that the graph is said to take.
        channels: of the image.
        images: makes a batch (batch, channels, h, w); seeded noise by default.

    Raises:
        DoesNotRun: ONNX Runtime does not load the graph at all.
    """
    runtime, answer = Runtime(graph), answers_of(model)
    for size in sizes:
        image = (images or noise)(size[0], channels, *size[1:])
        yield _compared(runtime, answer, image, size)


def noise(batch: int, channels: int, height: int, width: int) -> NDArray[np.float32]:
    """Seeded normal noise, the same for the same size."""
    generator = np.random.default_rng((batch, channels, height, width))
    return generator.standard_normal((batch, channels, height, width), dtype=np.float32)


def answers_of(model: Oracle) -> Callable[[Array], Answers]:
    """The model as a function of arrays: a module in eager, in eval mode.

    The function raises `DoesNotRun` where the model does not take an image.
    """
    call = _eager(model.eval()) if isinstance(model, nn.Module) else model

    def answer(image: Array) -> Answers:
        try:
            return call(image)
        except NotExportable:
            raise  # what it returns is no tensor, at any size
        except Exception as error:
            raise DoesNotRun(f"the model does not take it: {str(error) or repr(error)}") from error

    return answer


def _eager(model: nn.Module) -> Callable[[Array], Answers]:
    def call(image: Array) -> dict[str, Array]:
        with torch.inference_mode():
            found = named(model(torch.from_numpy(image)))
        return {name: value.numpy() for name, value in found.items()}

    return call


def _compared(
    runtime: Runtime, answer: Callable[[Array], Answers], image: Array, size: Size
) -> Comparison:
    try:
        actual = runtime(image)
        expected = _one_by_one(answer, image)
    except DoesNotRun as error:
        return Comparison(*size, failure=str(error))
    found = differences(expected, actual)
    failed = next((f"output '{each.output}': {each.failure}" for each in found if each.failure), "")
    if len(image) > 1 and not all(each.agrees for each in found):
        together = differences(answer(image), actual)
        if all(each.agrees for each in together):
            failed = "the model's answer to an image depends on the others of its batch"
    return Comparison(*size, found, failed)


def _one_by_one(answer: Callable[[Array], Answers], image: Array) -> Answers:
    """The answers to a batch's images, each asked alone."""
    answers = [answer(image[index : index + 1]) for index in range(len(image))]
    for name, value in answers[0].items():
        if value.shape[:1] != (1,):
            raise DoesNotRun(f"the model's output '{name}' is {value.shape} for one image")
    return {name: np.concatenate([each[name] for each in answers]) for name in answers[0]}
