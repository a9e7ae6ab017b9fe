"""A graph whose axes were pinned when it was made, with its axes open.

Only what is declared changes: the image's batch, height and width become names, and what was
declared of everything behind them is forgotten. Whether other sizes go through is the analyzer's to
say, and what a node has baked in (a Reshape's numbers, a Resize's) it names.
"""

from __future__ import annotations

from collections.abc import Mapping

import onnx

AXES = {"N": "batch", "H": "height", "W": "width"}


def opened(model: onnx.ModelProto, axes: Mapping[int, str]) -> onnx.ModelProto:
    """The same nodes and weights, the image's axes of these indices open.

    Args:
        model: with one image input; weights may be among its inputs, too.
        axes: index of a dimension of the image -> its name.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    weights = {tensor.name for tensor in result.graph.initializer}
    image = next(info for info in result.graph.input if info.name not in weights)
    dims = image.type.tensor_type.shape.dim
    for index, name in axes.items():
        if dims[index].HasField("dim_value"):
            dims[index].dim_param = name
    del result.graph.value_info[:]
    for info in result.graph.output:
        for dim in info.type.tensor_type.shape.dim:
            dim.Clear()
    return result
