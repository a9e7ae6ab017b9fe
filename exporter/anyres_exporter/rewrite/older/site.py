"""A node that is to be said in an older opset, what is known around it, what takes its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, TypeProto, helper, numpy_helper

from anyres_exporter.errors import NotExportable


class Site:
    """One node's place in the graph; a rule fills it with other nodes.

    Args:
        node: as it is.
        opset: the one to come to.
        constants: the numbers of the graph's constants, by name.
        types: element type and shape of every tensor that is known, by name.
    """

    def __init__(
        self,
        node: NodeProto,
        opset: int,
        constants: Mapping[str, TensorProto],
        types: Mapping[str, TypeProto.Tensor],
    ) -> None:
        self.node = node
        self.opset = opset
        self.attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        self.nodes: list[NodeProto] = []
        self.initializers: list[TensorProto] = []
        self._constants = constants
        self._types = types

    def has(self, index: int) -> bool:
        """Whether the node has this input."""
        return index < len(self.node.input) and bool(self.node.input[index])

    def constant(self, index: int) -> NDArray[Any] | None:
        """The numbers of an input; None where they are computed."""
        tensor = self._constants.get(self.node.input[index])
        return None if tensor is None else numpy_helper.to_array(tensor)

    def element_type(self, index: int) -> int:
        """Of an input, as TensorProto numbers them."""
        return self._type(index).elem_type

    def shape(self, index: int) -> list[int | None]:
        """Of an input; None where an axis is open."""
        dims = self._type(index).shape.dim
        return [dim.dim_value if dim.HasField("dim_value") else None for dim in dims]

    def kind(self, name: str) -> str | None:
        """A tensor's type as ONNX's definitions say it: tensor(float)."""
        if name not in self._types:
            return None
        return f"tensor({TensorProto.DataType.Name(self._types[name].elem_type).lower()})"

    def _type(self, index: int) -> TypeProto.Tensor:
        name = self.node.input[index]
        if name not in self._types or not self._types[name].HasField("shape"):
            self.refuse(f"nothing is known of the shape of its input '{name}'")
        return self._types[name]

    def number(self, hint: str, values: Any, dtype: Any = np.int64) -> str:
        """A new constant; returns its name."""
        name = f"{self.node.output[0]}.{hint}"
        self.initializers.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def like(self, hint: str, value: float) -> str:
        """A new constant number of the type of the node's first input."""
        return self.number(hint, value, helper.tensor_dtype_to_np_dtype(self.element_type(0)))

    def add(self, op_type: str, inputs: Sequence[str], hint: str, **attributes: Any) -> str:
        """A new node before the last; returns the name of what it makes."""
        name = f"{self.node.output[0]}.{hint}"
        self._append(op_type, inputs, [name], f"{self.node.name}.{hint}", attributes)
        return name

    def end(self, op_type: str, inputs: Sequence[str], **attributes: Any) -> None:
        """The last node: it makes what the old one made, under its name."""
        self._append(op_type, inputs, self.node.output, self.node.name, attributes)

    def _append(
        self,
        op_type: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        name: str,
        attributes: Mapping[str, Any],
    ) -> None:
        made = helper.make_node(op_type, inputs, outputs, name, **attributes)
        made.metadata_props.extend(self.node.metadata_props)
        self.nodes.append(made)

    def refuse(self, why: str) -> NoReturn:
        """This node cannot be said in the older opset."""
        raise NotExportable(
            f"node '{self.node.name}' ({self.node.op_type}) cannot be written in opset "
            f"{self.opset}: {why}; ask for a newer opset"
        )
