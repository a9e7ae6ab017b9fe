"""A graph without what need not be computed: constants folded, batch norm in the weights before it.

The work is that of onnxscript, whose optimizer torch's exporter runs; graphs that others give have
often never met it. Its passes are kept from three things:

* Inner shapes that a file states may be those of one image; folded into the graph they would fix
  its size. They are not believed: what is folded follows from the inputs alone.
* Batch norm is only fused where weights are initializers, so constants that are nodes become that.
* Rules that write operators of newer opsets than the graph's are left out.

Batch norm that follows no convolution or matrix product stays: into the next one it cannot go, for
that pads with zeros after it.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir
from onnx import GraphProto, ModelProto, ValueInfoProto
from onnx_ir.passes import PassManager
from onnx_ir.passes import common as passes
from onnxscript import optimizer
from onnxscript.rewriter import RewritePass
from onnxscript.rewriter.rules import common as rules

from anyres_exporter.errors import NotExportable

_ROUNDS = 4  # of folding and rewriting, at most; each may make room for the other
_RULES = (
    rules.add_0_rule,
    rules.sub_0_rule,
    rules.mul_by_1_rule,
    rules.div_by_1_rule,
    rules.dropout_inference_rule,
    rules.dropout_zero_rule,
    rules.collapse_slice_rule,
    rules.no_op_cast_rule,
    rules.no_op_expand_rule,
    rules.no_op_transpose_rule,
    rules.transpose_transpose_rule,
    rules.unsqueeze_unsqueeze_rule,
    rules.successive_relu_rule,
    rules.successive_clip_rule,
    rules.successive_clip_relu_rule,
    rules.successive_relu_clip_rule,
    rules.fuse_batchnorm_into_conv_rule,
    rules.fuse_batchnorm_into_conv_transpose_rule,
    rules.fuse_batchnorm_into_gemm_rule,
    rules.remove_optional_bias_from_conv_rule,
    rules.remove_optional_bias_from_conv_transpose_rule,
    rules.remove_optional_bias_from_gemm_rule,
)
_NOTES = "pkg.onnxscript."  # what its rewriter notes on the nodes that it made


def simplified(graph: ModelProto) -> ModelProto:
    """The same function of the same images, in fewer nodes; `graph` is left as it is.

    Raises:
        NotExportable: it is no graph, or something in it cannot be folded.
    """
    bare = ModelProto()
    bare.CopyFrom(graph)
    del bare.graph.value_info[:]
    try:
        result = ir.to_proto(_optimized(ir.from_proto(bare)))
    except (ir.serde.SerdeError, ir.passes.PassError) as error:
        raise NotExportable(f"the graph cannot be simplified: {_cause(error)}") from error
    _state(result.graph, graph.graph)
    _forget_notes(result)
    return result


def _optimized(model: ir.Model) -> ir.Model:
    steps = (_Folding(), RewritePass(_RULES), *_tidying())
    passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    return PassManager(steps, steps=_ROUNDS, early_stop=True)(model).model


def _cause(error: BaseException) -> str:
    """What went wrong at the bottom, in its first line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).strip().splitlines()[0]


class _Folding(ir.passes.InPlacePass):
    """onnxscript's folding of constants, as one of several passes."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Fold what depends on no image."""
        found = optimizer.fold_constants(model, onnx_shape_inference=True)
        return ir.passes.PassResult(model, found.modified)


def _tidying() -> tuple[ir.passes.InPlacePass, ...]:
    return (
        passes.RemoveUnusedNodesPass(),
        passes.DeduplicateInitializersPass(),
        passes.CommonSubexpressionEliminationPass(),
        passes.IdentityEliminationPass(),
        passes.OutputFixPass(),
        passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
    )


def _state(graph: GraphProto, given: GraphProto) -> None:
    """Shapes as the file stated them, in its words, where what is inferred allows it."""
    inferred = {value.name: _sizes(value) for value in graph.value_info}
    believed = [
        value
        for value in given.value_info
        if value.name in inferred and _allowed(_sizes(value), inferred[value.name])
    ]
    for field in ("input", "output", "value_info"):
        del getattr(graph, field)[:]
    graph.input.extend(given.input)
    graph.output.extend(given.output)
    graph.value_info.extend(believed)


def _allowed(stated: Sequence[int | None], inferred: Sequence[int | None]) -> bool:
    """Whether every size that is stated follows from the inputs, too."""
    return len(stated) == len(inferred) and all(
        size in (None, found) for size, found in zip(stated, inferred, strict=True)
    )


def _sizes(value: ValueInfoProto) -> list[int | None]:
    """None for an open axis."""
    dims = value.type.tensor_type.shape.dim
    return [dim.dim_value if dim.HasField("dim_value") else None for dim in dims]


def _forget_notes(model: ModelProto) -> None:
    for node in model.graph.node:
        kept = [entry for entry in node.metadata_props if not entry.key.startswith(_NOTES)]
        del node.metadata_props[:]
        node.metadata_props.extend(kept)
