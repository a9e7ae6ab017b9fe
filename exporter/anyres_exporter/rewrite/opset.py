"""The version of ONNX's operators that a graph is written in.

Upwards onnx's own converter is asked; downwards the tables in `older` are. Either way the result is
checked in full, and what has no words in the opset that is asked for is refused by the node's name.

The newest opset is not the best one. Measured with ONNX Runtime 1.32, which loads opset 28, and
torch 2.13; nodes are those that the runtime is left with, times are of one thread:

    opset                          18      20      21      22      23      25
    U-Net, 256x256             45.9 ms    46.0    45.5    45.6    45.5    45.5
    MobileNetV2, 256x256        9.8 ms     9.7     9.7     9.6     9.6     9.5
    ConvNeXt, 256x256          20.1 ms    17.9       -    17.8       -       -
    GroupNorm, 512x512          324 ms     320     350     351       -       -
    GroupNorm, nodes                39      39     131     131       -       -
    vision transformer, nodes      491     431     431     431     299     995

Peak memory of the first two is the same in all. From 20 on Gelu is one operator, which is why
ConvNeXt gains. From 21 on group norm is one, and the runtime has no kernel for it on CPUs. From 23
on attention is one: in 23 its multiply-adds can no longer be read off the graph, in 25 there is no
kernel for it either. Beyond 25 torch's exporter cannot go: it fails at Gelu, and leaves the graph
in 18 without a word. So 20 is the newest that loses nothing; what came later is types of few bits,
and ONNX Runtime 1.20, the oldest that serves, loads it too. Newer ones are asked for by number.
"""

from __future__ import annotations

import onnx
from onnx import ModelProto, TensorProto, helper

from anyres_exporter.errors import DoesNotRun, NotExportable
from anyres_exporter.rewrite.older.converted import converted
from anyres_exporter.rewrite.older.light import light
from anyres_exporter.runtime import Runtime

OLDEST = 13
NEWEST_WITHOUT_LOSS = 20  # as measured above


def newest() -> int:
    """The newest opset that loses nothing, of those that the installed ONNX Runtime loads."""
    return next(opset for opset in range(NEWEST_WITHOUT_LOSS, OLDEST - 1, -1) if _loads(opset))


def opset_of(model: ModelProto) -> int:
    """The opset of ONNX's own operators that a graph is written in."""
    return next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))


def at_opset(model: ModelProto, opset: int) -> ModelProto:
    """The same graph in the operators of this opset; the model itself where it is of it already.

    Raises:
        NotExportable: it cannot be said there; the message names the node.
    """
    if opset < OLDEST:
        raise NotExportable(f"opset {opset} is too old; ask for {OLDEST} or newer")
    if opset > (known := onnx.defs.onnx_opset_version()):
        raise NotExportable(f"there is no opset {opset} yet; the newest known here is {known}")
    source = opset_of(model)
    if source == opset:
        return model
    result = converted(model, source, opset) if opset < source else _raised(model, opset)
    try:
        onnx.checker.check_model(light(result), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        reason = str(error).strip().splitlines()[0]
        raise NotExportable(f"the graph is not valid in opset {opset}: {reason}") from error
    return result


def _raised(model: ModelProto, opset: int) -> ModelProto:
    try:
        return onnx.version_converter.convert_version(model, opset)
    except (RuntimeError, onnx.version_converter.ConvertError) as error:
        reason = str(error).strip().splitlines()[0]
        raise NotExportable(f"the graph cannot be written in opset {opset}: {reason}") from error


def _loads(opset: int) -> bool:
    """Whether the installed ONNX Runtime takes a graph of this opset."""
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1])
    same = helper.make_tensor_value_info("same", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Relu", ["image"], ["same"])], "g", [image], [same])
    imports = [helper.make_opsetid("", opset)]
    version = helper.find_min_ir_version_for(imports)
    model = helper.make_model(graph, opset_imports=imports, ir_version=version)
    try:
        Runtime(model, threads=1)
    except DoesNotRun:
        return False
    return True
