"""One node of the tail, with what a rule needs to say what stands for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, TypeAlias

from numpy.typing import NDArray

from anyres_analyzer.graph.graph import Node
from anyres_exporter.rewrite.convolutionalize.graft import Graft
from anyres_exporter.rewrite.convolutionalize.refusal import at
from anyres_exporter.rewrite.convolutionalize.source import Classifier
from anyres_exporter.rewrite.convolutionalize.view import View, spread

Pool: TypeAlias = Literal["keep", "drop"]


@dataclass(frozen=True)
class Call:
    """A node, the views among its inputs, and where its replacement grows."""

    node: Node
    views: tuple[View | None, ...]
    source: Classifier
    graft: Graft
    pool: Pool

    @property
    def view(self) -> View:
        """The first input that sees pixels."""
        return next(view for view in self.views if view is not None)

    @property
    def only(self) -> View:
        """The first input, where it is the only one that sees pixels."""
        view = self.views[0] if self.views else None
        if view is None or any(self.views[1:]):
            self.refuse("more than its first input depends on the image")
        return view

    @property
    def stem(self) -> str:
        """What new nodes and tensors are named after."""
        return self.node.name or self.node.made[0]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of its first output, at the native size."""
        return self.source.tensors[self.node.made[0]].shape

    @property
    def opset(self) -> int:
        """The version of its operators."""
        return self.source.graph.opset_of(self.node)

    def given(self, index: int) -> bool:
        """Whether input `index` is there."""
        return index < len(self.node.inputs) and bool(self.node.inputs[index])

    def value(self, index: int) -> NDArray[Any]:
        """The numbers of input `index`, which sees no pixels."""
        return self.source.value(self.node.inputs[index])

    def numbers(self, name: str, index: int) -> tuple[int, ...] | None:
        """What was an attribute in older opsets and is an input in newer ones; None if neither."""
        if name in self.node.attributes:
            return tuple(self.node.attributes[name])
        return tuple(map(int, self.value(index).reshape(-1))) if self.given(index) else None

    def along(self, index: int, view: View) -> str:
        """Input `index`, a constant that is broadcast over a view, for the view's map.

        Refuses one that is not the same at every cell of the window: in a larger image one cell
        lies at every place of some window.
        """
        name, value = self.node.inputs[index], self.value(index)
        if value.size == 1:
            known = name in self.source.graph.constants
            return name if known else self.graft.constant(value, name)
        values = spread(view, value)
        if values is None:
            self.refuse(f"'{name}' is larger than what it meets")
        if (values != values[:1, :, :1, :1]).any():
            self.refuse(f"'{name}' is not the same at every cell of the window")
        return self.graft.constant(values[:1, :, :1, :1], name)

    def refuse(self, reason: str) -> NoReturn:
        """Raise that this node stands in the way."""
        raise at(self.node.label, reason)


Rule: TypeAlias = Callable[[Call], View]
