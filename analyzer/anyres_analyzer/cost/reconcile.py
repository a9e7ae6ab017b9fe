"""Why another tool's number for the same network is another: the difference, item by item.

Each node does one or two things that tools count differently: a convolution multiplies, and adds a
bias. A `Convention` is a tool's table, thing -> `Rule`; a rule counts what the tool counts *beyond*
our multiply-adds (less than none where it counts fewer), so that

    ours + every item = theirs

Tools for torch modules see what a graph no longer tells: whether it was nn.Upsample or a call of
F.interpolate. A rule assumes the module, and its `otherwise` says what the tool counts if not. What
stands in no table is named and left out.

Example: a 2x2 transposed convolution of stride 2 from 8 to 4 channels on 8x8 pixels has
8 * 8 * 8 * 4 * 4 = 8192 MACs; thop takes 16x16 output pixels, 32768, an item of +24576.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import prod

from anyres_analyzer.cost.macs import macs
from anyres_analyzer.graph.graph import Graph, Node
from anyres_analyzer.shapes.tensor import Tensor, Tensors


@dataclass(frozen=True)
class Site:
    """A node at one input size: what it takes from the image or its weights, and what it makes."""

    node: Node
    inputs: tuple[Tensor, ...]
    output: Tensor
    macs: int


Count = Callable[[Site], int]


@dataclass(frozen=True)
class Otherwise:
    """What is counted beyond our MACs where `when` is so."""

    when: str
    count: Count


@dataclass(frozen=True)
class Rule:
    """What a tool counts for one thing beyond our MACs, and how it comes to that."""

    why: str
    count: Count
    otherwise: tuple[Otherwise, ...] = ()


@dataclass(frozen=True)
class Convention:
    """How one version of a tool counts.

    `ignored` are operators that it counts nothing for. `torch` says that it looks at a torch
    module, so that arithmetic on shapes is unseen and batch norms are still there; else it reads
    the graph. `parameters` is in words what its number of parameters holds.
    """

    tool: str
    version: str
    unit: str
    looks_at: str
    rules: Mapping[str, Rule]
    ignored: frozenset[str]
    torch: bool
    parameters: str


@dataclass(frozen=True)
class Alternative:
    """An item's operations if the module was written in another way."""

    operations: int
    when: str


@dataclass(frozen=True)
class Item:
    """One thing that is counted differently: operations (or parameters) beyond ours, summed."""

    what: str
    nodes: tuple[str, ...]
    operations: int
    why: str
    otherwise: tuple[Alternative, ...] = ()


@dataclass(frozen=True)
class Folded:
    """A bias that an exporter may have made of a batch norm, and what the tool counted before."""

    node: str
    operations: int
    parameters: int


@dataclass(frozen=True)
class Reconciliation:
    """Our numbers and a tool's at one size: `ours` and every item's operations are `theirs`."""

    ours: int
    items: tuple[Item, ...]
    theirs: int
    uncounted: tuple[str, ...]
    our_parameters: int
    parameter_items: tuple[Item, ...]
    their_parameters: int
    folded: tuple[Folded, ...]


def reconcile(
    convention: Convention, graph: Graph, tensors: Tensors, parameters: int
) -> Reconciliation:
    """What the tool makes of a graph whose tensors were walked at one size.

    `parameters` is how many we count. `uncounted` names nodes that no rule of ours speaks of.
    """
    sites = list(_sites(graph, tensors, everything=not convention.torch))
    found = _by_thing(graph, sites)
    known = ((thing, convention.rules.get(thing), at) for thing, at in found.items())
    items = tuple(_item(thing, rule, at) for thing, rule, at in known if rule is not None)
    unknown = found.keys() - convention.rules.keys() - convention.ignored
    ours = sum(macs(node, tensors) for node in graph.nodes)
    more = tuple(_parameter_items(convention, graph, parameters))
    return Reconciliation(
        ours=ours,
        items=tuple(item for item in items if item.operations or item.otherwise),
        theirs=ours + sum(item.operations for item in items),
        uncounted=tuple(site.node.label for thing in sorted(unknown) for site in found[thing]),
        our_parameters=parameters,
        parameter_items=more,
        their_parameters=parameters + sum(item.operations for item in more),
        folded=tuple(_folded(convention, sites)) if convention.torch else (),
    )


def _by_thing(graph: Graph, sites: Iterable[Site]) -> dict[str, list[Site]]:
    products = {name for node in graph.nodes if node.op_type == "MatMul" for name in node.made}
    found: dict[str, list[Site]] = {}
    for site in sites:
        for thing in _things(site.node, graph, products):
            found.setdefault(thing, []).append(site)
    return found


def _things(node: Node, graph: Graph, products: set[str]) -> tuple[str, ...]:
    """What a node does, in the words of the tables; the operator's name for most."""
    if node.op_type in _PRODUCTS:
        product, bias = _PRODUCTS[node.op_type]
        return (product, bias) if _has_bias(node) else (product,)
    if node.op_type == "MatMul":
        return ("linear layer" if node.inputs[1] in graph.origins else "product of two maps",)
    if node.op_type == "Add" and _adds_a_bias(node, graph, products):
        return ("bias of a linear layer",)
    if node.op_type in ("Resize", "Upsample"):
        return (f"{node.attributes.get('mode', b'nearest').decode()} resize",)
    return (node.op_type,)


_PRODUCTS = {
    "Conv": ("Conv", "bias of a convolution"),
    "ConvTranspose": ("ConvTranspose", "bias of a convolution"),
    "Gemm": ("linear layer", "bias of a linear layer"),
}


def _has_bias(node: Node) -> bool:
    return len(node.inputs) > 2 and bool(node.inputs[2])


def _adds_a_bias(node: Node, graph: Graph, products: set[str]) -> bool:
    """A constant added to what a MatMul has made: a linear layer on maps of more than one row."""
    constant = any(name in graph.origins for name in node.inputs)
    return constant and any(name in products for name in node.inputs)


def _sites(graph: Graph, tensors: Tensors, *, everything: bool) -> Iterator[Site]:
    """Nodes that pixels go through; with `everything`, arithmetic on shapes and weights too."""
    for node in graph.nodes:
        output = tensors[node.made[0]]
        made_of_weights = all(name in graph.origins for name in node.made)
        if everything or not (made_of_weights or output.value is not None):
            inputs = tuple(tensors[name] for name in node.inputs if name)
            yield Site(node, inputs, output, macs(node, tensors))


def _item(thing: str, rule: Rule, sites: list[Site]) -> Item:
    return Item(
        what=thing,
        nodes=tuple(site.node.label for site in sites),
        operations=sum(map(rule.count, sites)),
        why=rule.why,
        otherwise=tuple(
            Alternative(sum(map(other.count, sites)), other.when) for other in rule.otherwise
        ),
    )


def _parameter_items(convention: Convention, graph: Graph, parameters: int) -> Iterator[Item]:
    """torch's tools count what is learned, as we do."""
    if convention.torch:
        return
    read = {name for node in graph.nodes for name in node.inputs if name in graph.constants}
    every = sum(prod(graph.constants[name].shape) for name in read)
    if every != parameters:
        why = "shapes, axes, statistics count too"
        unless = Alternative(0, "held by Constant nodes")
        yield Item("constants that are not learned", (), every - parameters, why, (unless,))


def _folded(convention: Convention, sites: Iterable[Site]) -> Iterator[Folded]:
    """Convolutions with a bias: an exporter folds a batch norm (scale and shift) into just that."""
    norm = convention.rules.get("BatchNormalization")
    bias = convention.rules.get("bias of a convolution")
    for site in sites:
        if site.node.op_type in ("Conv", "ConvTranspose") and _has_bias(site.node):
            before = (norm.count(site) if norm else 0) - (bias.count(site) if bias else 0)
            yield Folded(site.node.label, before, site.inputs[2].elements)
