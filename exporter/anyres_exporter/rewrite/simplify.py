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

from collections.abc import Iterable

import onnx_ir as ir
from onnx import ModelProto, ValueInfoProto
from onnx_ir.passes import PassManager
from onnx_ir.passes import common as passes
from onnxscript import optimizer
from onnxscript.rewriter import RewritePass
from onnxscript.rewriter.rules import common as rules

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
    """The same function of the same images, in fewer nodes; `graph` is left as it is."""
    bare = ModelProto()
    bare.CopyFrom(graph)
    del bare.graph.value_info[:]
    model = ir.from_proto(bare)
    passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    PassManager([_Folding(), RewritePass(_RULES), *_tidying()], steps=_ROUNDS, early_stop=True)(
        model
    )
    result = ir.to_proto(model)
    del result.graph.value_info[:]
    result.graph.value_info.extend(_stated(graph, result))
    _forget_notes(result)
    return result


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


def _stated(before: ModelProto, after: ModelProto) -> Iterable[ValueInfoProto]:
    """What the file said of tensors that are still made."""
    made = {name for node in after.graph.node for name in node.output}
    made -= {value.name for value in after.graph.output}
    return (value for value in before.graph.value_info if value.name in made)


def _forget_notes(model: ModelProto) -> None:
    for node in model.graph.node:
        kept = [entry for entry in node.metadata_props if not entry.key.startswith(_NOTES)]
        del node.metadata_props[:]
        node.metadata_props.extend(kept)
