"""Ways to count an operator, as other tools do it: what they have beyond our multiply-adds."""

from __future__ import annotations

from math import prod

from anyres_analyzer.cost.reconcile import Count, Site


def per_output(operations: int) -> Count:
    """So many for every number that comes out."""
    return lambda site: operations * site.output.elements


def per_input(operations: int) -> Count:
    """So many for every number of the map that goes in."""
    return lambda site: operations * site.inputs[0].elements


def nothing(site: Site) -> int:
    """No difference to our MACs."""
    return 0


def unseen(site: Site) -> int:
    """The tool counts nothing where we count MACs."""
    return -site.macs


def at_output_size(site: Site) -> int:
    """A transposed convolution as if each output pixel, not each input pixel, met the kernel."""
    pixels = prod(site.inputs[0].shape[2:])
    return site.macs * prod(site.output.shape[2:]) // pixels - site.macs


def by_output_channels(site: Site) -> int:
    """At the output's size, and as if the kernel's (Co / groups, kh, kw) were what is summed."""
    return site.output.elements * prod(site.inputs[1].shape[1:]) - site.macs


def once_an_image(site: Site) -> int:
    """A weight's elements for each image, at however many positions it is applied."""
    return site.output.shape[0] * site.inputs[1].elements - site.macs


def channels_an_image(operations: int) -> Count:
    """So many for each channel of each image, whatever the size."""
    return lambda site: operations * prod(site.output.shape[:2])


def features_an_image(site: Site) -> int:
    """One for each feature of each image, at however many positions it is added."""
    return site.output.shape[0] * site.output.shape[-1]


def scale_and_shift_an_image(site: Site) -> int:
    """The elements of a norm's own weights, for each image."""
    return site.output.shape[0] * sum(weight.elements for weight in site.inputs[1:])


def exponentials(site: Site) -> int:
    """Softmax over rows of n: n exponentials, n - 1 additions and n divisions."""
    rows = site.output.elements // site.output.shape[int(site.node.attributes.get("axis", -1))]
    return 3 * site.output.elements - rows


def averaged(site: Site) -> int:
    """Adaptive pooling: an addition for every number in the window, and one division."""
    return site.inputs[0].elements + site.output.elements


def windows(site: Site) -> int:
    """Every output looks at its whole window."""
    taps: int = prod(site.node.attributes["kernel_shape"])
    return site.output.elements * taps


def neighbours(site: Site) -> int:
    """Local response normalization: 37 and one for every channel in reach."""
    return site.output.elements * (37 + int(site.node.attributes["size"]))


def normalized(site: Site) -> int:
    """onnx-tool's layer normalization: 7 for each number, and 29 for each vector of one axis."""
    length = site.output.shape[int(site.node.attributes.get("axis", -1))]
    return 7 * site.output.elements + 29 * (site.output.elements // length)


def summed(site: Site) -> int:
    """One less than there are maps."""
    return (len(site.inputs) - 1) * site.output.elements


MOVES = frozenset(
    "Identity Constant Flatten Reshape Transpose Squeeze Unsqueeze Concat Split Slice Gather "
    "GatherND GatherElements Shape ConstantOfShape Range Expand Tile Pad Cast Dropout "
    "DepthToSpace Where".split()
)
