"""What a graph may do by itself beside the network, each part as it is asked for.

    bytes (n, h, w, c) ── (pixel * scale - mean) / std ──> (n, c, h, w) ── network ──> logits
                                                                                          │
         classes, probabilities, ... in the layout asked for  <── argmax, softmax, ... ───┘

A network that pads itself is padded behind the pixels' arithmetic, as it was: its zeros are those
of the network's own input.

The answer is made of the first output alone and comes first, then the scores that it is made of
where they are kept, then the network's further outputs:

    answer      outputs                     shape of a map                 type
    logits      the network's own           (n, channels, h, w)            float32
    softmax     probabilities               (n, channels, h, w)            float32
    sigmoid     probabilities               (n, channels, h, w)            float32
    argmax      classes                     (n, h, w)                      uint8, uint16, int32
    top_k       classes, confidences        (n, k, h, w), the best first   likewise, float32
    mask        mask                        (n, channels, h, w)            uint8: 0 or 1
                                            (n, h, w) of one channel

Class indices take the first of those types that holds them all. With the channels last, a map of
channels is (n, h, w, channels). Of a classifier's (n, channels) the same is made without h and w.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from anyres_analyzer import Analysis
from anyres_exporter.errors import BadRecipe
from anyres_proto.card import ImageInput

Pixels: TypeAlias = Literal["float", "bytes"]
AnswerKind: TypeAlias = Literal["logits", "softmax", "sigmoid", "argmax", "top_k", "mask"]
OutputLayout: TypeAlias = Literal["NCHW", "NHWC"]

OUTPUTS: Mapping[AnswerKind, tuple[str, ...]] = {
    "logits": (),
    "softmax": ("probabilities",),
    "sigmoid": ("probabilities",),
    "argmax": ("classes",),
    "top_k": ("classes", "confidences"),
    "mask": ("mask",),
}
_OF_SEVERAL_CLASSES = ("softmax", "argmax", "top_k")
_SQUASHES = ("softmax", "sigmoid")
_INDICES = {"uint8": 2**8, "uint16": 2**16, "int32": 2**31}


@dataclass(frozen=True)
class Batteries:
    """What is asked for.

    Args:
        pixels: "bytes" for a graph that takes uint8 (n, h, w, channels), as pictures are decoded.
        answer: what is made of the first output.
        k: how many classes a cell's `top_k` has.
        threshold: the probability above which a `mask` is 1.
        layout: of every output with four dimensions.
        keep_logits: whether what the answer is made of stays an output.
    """

    pixels: Pixels = "float"
    answer: AnswerKind = "logits"
    k: int = 5
    threshold: float = 0.5
    layout: OutputLayout = "NCHW"
    keep_logits: bool = False

    @property
    def any(self) -> bool:
        """Whether anything is asked for."""
        asked = self.pixels, self.answer, self.layout
        return asked != ("float", "logits", "NCHW")

    def names(self, given: tuple[str, ...]) -> tuple[str, ...]:
        """What the outputs are called, in order, of a network whose own have these names."""
        first, *further = given
        kept = [first] if self.answer == "logits" or self.keep_logits else []
        return (*self.answers(given), *kept, *further)

    def answers(self, given: tuple[str, ...]) -> tuple[str, ...]:
        """The names of what is made of the first output; none is that of another output."""
        taken = set(given)
        return tuple(f"network_{n}" if n in taken else n for n in OUTPUTS[self.answer])

    def input(self, image: ImageInput) -> ImageInput:
        """What the graph takes, where the network inside takes this: bytes are RGB or grey."""
        if self.pixels == "float":
            return image
        return ImageInput(
            name=image.name,
            channels=image.channels,
            colour="RGB" if image.colour == "BGR" else image.colour,
            dtype="uint8",
            layout="NHWC",
            scale=image.scale,
            mean=image.mean[::-1] if image.colour == "BGR" else image.mean,
            std=image.std[::-1] if image.colour == "BGR" else image.std,
        )

    def check(self, analysis: Analysis) -> None:
        """Refuse what does not fit a network.

        Raises:
            BadRecipe: it has too few channels, or has done it already.
        """
        for refusal in (self._refused_pixels(analysis), self._refused_answer(analysis)):
            if refusal:
                raise BadRecipe(refusal)

    def _refused_pixels(self, analysis: Analysis) -> str | None:
        image = analysis.input
        if self.pixels == "float" or (image.layout == "NCHW" and image.dtype.startswith("float")):
            return None
        return (
            f"the graph cannot be made to take bytes: its input '{image.name}' is {image.dtype} "
            f"{image.layout}; expected floats, (n, c, h, w)"
        )

    def _refused_answer(self, analysis: Analysis) -> str | None:
        output, what = analysis.output, self.answer.replace("_", "-")
        if self.answer == "logits":
            return None
        if output.meaning not in ("logits", "probabilities") or output.layout != "NCHW":
            return (
                f"no {what} can be made of output '{output.name}', a {output.meaning} in "
                f"{output.layout}; expected scores, (n, channels, h, w) or (n, channels)"
            )
        if self.answer in _SQUASHES and output.meaning == "probabilities":
            return f"output '{output.name}' is made of probabilities already; leave out {what}"
        if self.answer in _OF_SEVERAL_CLASSES and output.channels < 2:
            return f"{what} needs several classes; '{output.name}' has one channel: ask for a mask"
        if self.answer == "top_k" and not 1 <= self.k <= output.channels:
            return f"top-k of {self.k}: '{output.name}' has {output.channels} channels"
        if self.answer == "mask" and not 0 < self.threshold < 1:
            return f"a threshold of {self.threshold}: it is a probability, between 0 and 1"
        return None


PLAIN = Batteries()  # none: the network as it is


def index_dtype(classes: int) -> str:
    """The smallest type that holds the indices of so many classes."""
    return next(dtype for dtype, most in _INDICES.items() if classes <= most)
