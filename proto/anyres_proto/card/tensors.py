"""What goes into a model and what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Literal, Self, TypeAlias

from pydantic import Field, model_validator

from anyres_proto.card.part import Part

Meaning: TypeAlias = Literal[
    "logits",
    "probabilities",
    "values",
    "class_map",
    "mask",
    "top_k_classes",
    "top_k_scores",
    "centres",
    "offsets",
]


class ImageInput(Part):
    """What the network's input tensor is made of.

    A decoded image (h, w, channels) in 0..255 becomes `(pixel * scale - mean) / std`, float32, in
    this `layout`: (1, channels, h, w) or (1, h, w, channels). A graph whose `dtype` is uint8 does
    that by itself: it takes the pixels as they were decoded, in this `layout` and order of colours.
    """

    name: str = "image"
    channels: int = Field(ge=1, default=3)
    colour: Literal["RGB", "BGR", "GRAY"] = "RGB"
    dtype: Literal["float32", "uint8"] = "float32"
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    scale: float = 1 / 255
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)

    def shape(self, batch: int, height: int, width: int) -> tuple[int, int, int, int]:
        """The shape of so many images of a size."""
        if self.layout == "NHWC":
            return batch, height, width, self.channels
        return batch, self.channels, height, width

    def size(self, shape: Sequence[int]) -> tuple[int, int]:
        """The height and width of images of this shape."""
        return (shape[1], shape[2]) if self.layout == "NHWC" else (shape[2], shape[3])

    @model_validator(mode="after")
    def _one_mean_and_std_a_channel(self) -> Self:
        if not len(self.mean) == len(self.std) == self.channels:
            raise ValueError(
                f"mean and std need {self.channels} values, one a channel; "
                f"got {len(self.mean)} and {len(self.std)}"
            )
        return self


class Output(Part):
    """What one of the network's output tensors means.

    A dense output is a map in its `layout`, (n, channels, h_out, w_out) by default, whose pixel `i`
    is centred on input pixel `stride * i + offset`; one that is not dense is (n, channels): one
    answer for the whole image. NHW is a map without channels, and counts one.

        logits, probabilities   a score for each class
        class_map               the index of the best of `classes`
        mask                    1 where a channel is above the graph's threshold, else 0
        top_k_classes           the indices of the `channels` best of `classes`, the best first
        top_k_scores            their probabilities
        centres                 how likely an object's centre is here: of any thing, in 1 channel,
                                or of each class that is a thing, in the order of the classes
        offsets                 how far it is from a cell to its object's centre, in cells of the
                                grid: down, and to the right
        values                  any other numbers

    Outputs of one `source` are made of the same scores, cell by cell.
    """

    name: str = "logits"
    meaning: Meaning = "logits"
    classes: int | None = Field(ge=1, default=None)
    source: str | None = None
    dtype: str = "float32"  # numpy's name
    layout: Literal["NCHW", "NHWC", "NHW"] = "NCHW"
    channels: int = Field(ge=1)
    dense: bool
    stride: tuple[Fraction, Fraction] = (Fraction(1), Fraction(1))
    offset: tuple[Fraction, Fraction] = (Fraction(0), Fraction(0))

    @property
    def class_count(self) -> int:
        """How many classes its numbers tell apart."""
        if self.meaning == "mask" and self.channels == 1:
            return 2
        if self.classes is not None:
            return self.classes
        if self.meaning in ("class_map", "top_k_classes"):
            return 2**8 if self.dtype == "uint8" else 2**16
        return self.channels

    def grid(self, shape: Sequence[int]) -> tuple[int, int]:
        """The height and width of an output of this shape; 1x1 if it is no map."""
        if len(shape) not in (3, 4):
            return 1, 1
        last = len(shape) == 4 and self.layout == "NHWC"
        return (shape[1], shape[2]) if last else (shape[-2], shape[-1])


class ClassName(Part):
    """One class: its name and the colour it is drawn in, 0..255 each.

    A `thing` is what can be counted, like a car; the sky is none. The terms are those of panoptic
    segmentation (Kirillov et al., CVPR 2019).
    """

    name: str
    colour: tuple[int, int, int] | None = None
    thing: bool = False
