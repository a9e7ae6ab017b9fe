"""Whether a node is one of an older opset, by ONNX's own definitions of the operators."""

from __future__ import annotations

from onnx import AttributeProto, NodeProto, defs, helper

from anyres_exporter.rewrite.older.rules import WORDS
from anyres_exporter.rewrite.older.site import Site


def fitted(site: Site, node: NodeProto, source: int) -> NodeProto:
    """A node as the older definition has it: without attributes that say the newer default.

    Args:
        site: what is rewritten, and to which opset.
        node: itself, or one of those that take its place.
        source: the opset that it is of.

    Raises:
        NotExportable: something of it came later.
    """
    if node.domain not in ("", "ai.onnx"):
        return node
    if _FIRST[node.op_type] > site.opset:
        site.refuse(f"the operator came with opset {_FIRST[node.op_type]}")
    _refuse_what_is_joined(site, node)
    result = NodeProto()
    result.CopyFrom(node)
    del result.attribute[:]
    result.attribute.extend(each for each in node.attribute if _stays(site, node, each, source))
    return result


def _firsts() -> dict[str, int]:
    """The opset that each operator came with."""
    found: dict[str, int] = {}
    for schema in defs.get_all_schemas_with_history():
        if schema.domain == "":
            found[schema.name] = min(schema.since_version, found.get(schema.name, 1 << 31))
    return found


_FIRST = _firsts()


def _refuse_what_is_joined(site: Site, node: NodeProto) -> None:
    """Inputs and outputs that are too many or of a type that came later."""
    schema = defs.get_schema(node.op_type, site.opset, "")
    for formals, most, names in (
        (schema.inputs, schema.max_input, node.input),
        (schema.outputs, schema.max_output, node.output),
    ):
        if len(names) > most:
            site.refuse(f"it took no '{names[most]}'")
        for index, name in enumerate(names):
            kind = site.kind(name)
            if kind and kind not in formals[min(index, len(formals) - 1)].types:
                site.refuse(f"'{name}' is a {kind}, which it did not take")


def _stays(site: Site, node: NodeProto, attribute: AttributeProto, source: int) -> bool:
    """False where it says what was meant before there was such an attribute."""
    value = helper.get_attribute_value(attribute)
    if attribute.name in defs.get_schema(node.op_type, site.opset, "").attributes:
        since = WORDS.get((node.op_type, attribute.name, value)) if _is_word(attribute) else None
        if since and since > site.opset:
            site.refuse(f"its {attribute.name} '{value.decode()}' came with opset {since}")
        return True
    default = defs.get_schema(node.op_type, source, "").attributes[attribute.name].default_value
    if not default.type or helper.get_attribute_value(default) != value:
        site.refuse(f"it had no {attribute.name}")
    return False


def _is_word(attribute: AttributeProto) -> bool:
    return attribute.type == AttributeProto.STRING
