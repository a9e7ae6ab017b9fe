"""What was compared with what, and how far apart they were."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from anyres_proto.card.part import Part


class Proof(Part):
    """One size at which ONNX Runtime was compared with the original: the worst of all outputs.

    `argmax_agreement` is the share of answers whose highest channel is the same.
    """

    batch: int
    height: int
    width: int
    max_abs_error: float
    max_rel_error: float
    argmax_agreement: float | None = Field(ge=0, le=1, default=None)


class Precision(Part):
    """A faster variant beside the fp32 model it was made of, on pictures that it never saw.

    Of several outputs the worst counts. An answer (a cell of a map, or a whole image's) agrees
    where the class is the same; a number where it is within `tolerance` of fp32's spread.

    Args:
        kind: int8 weights and activations; fp16 both; or weights alone kept as fp16.
        method: how the ranges of int8 activations were found.
        calibration: how many pictures they were found on; `pictures` are others.
        agreement: the share of answers that agree; `minimum` was asked for.
        mean_iou: of fp32's class map and the variant's (Long et al., 2015); None without a map.
        graph_bytes: of the variant without its card, `fp32_graph_bytes` of what it was made of.
        speedup: fp32's median seconds by the variant's, measured side by side at (width, height)
            `timed_at` in ONNX Runtime `runtime` with `threads` threads.
        kept: nodes that were left in fp32 because they hurt most.
    """

    kind: Literal["int8", "fp16", "weights-fp16"]
    method: Literal["entropy", "minmax"] | None = None
    calibration: int = Field(ge=0)
    pictures: int = Field(ge=1)
    agreement: float = Field(ge=0, le=1)
    minimum: float = Field(ge=0, le=1)
    tolerance: float = Field(ge=0)
    mean_iou: float | None = Field(ge=0, le=1, default=None)
    max_abs_error: float = Field(ge=0)
    mean_abs_error: float = Field(ge=0)
    graph_bytes: int = Field(ge=1)
    fp32_graph_bytes: int = Field(ge=1)
    speedup: float = Field(gt=0)
    timed_at: tuple[int, int]
    threads: int = Field(ge=1)
    runtime: str
    kept: tuple[str, ...] = ()


class Patches(Part):
    """Dense answers against the classifier on the patches that they stand for: their logits.

    `cells` of the `of` answers that the images' grids have were compared; `photographs` says
    whether the images were photographs or seeded noise. `max_rel_difference` is of the largest
    magnitude among the classifier's logits. `reasons` says why the two are not equal; without one
    they are.
    """

    images: int = Field(ge=1)
    photographs: bool
    cells: int = Field(ge=1)
    of: int = Field(ge=1)
    max_abs_difference: float
    mean_abs_difference: float
    max_rel_difference: float
    argmax_agreement: float = Field(ge=0, le=1)
    reasons: tuple[str, ...] = ()


class Conversion(Part):
    """How a classifier became a network that answers at every position, and what that is worth.

    `source` is the classifier's file by its sha256, `trained` the size (width, height) that it was
    made for, and `window` how many cells (columns, rows) of its last map one answer of it is made
    of. At that size the two differ by `max_abs_error`, and by `max_rel_error` of the largest value.
    """

    source: str
    trained: tuple[int, int]
    window: tuple[int, int]
    pool: Literal["keep", "drop"]
    upsample: Literal["bilinear", "none"]
    max_abs_error: float
    max_rel_error: float
    patches: Patches
