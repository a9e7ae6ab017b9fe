"""What a model takes and gives, as shapes: -1 is an axis of more than one size."""

from __future__ import annotations

from anyres_proto.card import AxisContract, Output
from anyres_server.model import Model


def model_input(model: Model) -> tuple[int, ...]:
    """The shape of the input."""
    sizes = model.card.sizes
    return model.card.input.shape(_batch(model), _side(sizes.height), _side(sizes.width))


def model_output(model: Model, output: Output) -> tuple[int, ...]:
    """The shape of an output."""
    sizes = model.card.sizes
    smallest = sizes.height.minimum, sizes.width.minimum
    shape = list(model.cost(smallest).output_shapes[output.name])
    for axis, side in zip(_sides(output, len(shape)), (sizes.height, sizes.width), strict=False):
        if _side(side) < 0:
            shape[axis] = -1
    return _batch(model), *shape[1:]


def _sides(output: Output, rank: int) -> tuple[int, ...]:
    """Which axes follow the image's height and width."""
    if not output.dense:
        return ()
    return (1, 2) if output.layout == "NHWC" else (rank - 2, rank - 1)


def _batch(model: Model) -> int:
    return -1 if model.network.batches else 1


def _side(axis: AxisContract) -> int:
    return axis.minimum if axis.minimum == axis.maximum else -1
