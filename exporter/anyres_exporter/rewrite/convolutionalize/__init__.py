"""A classifier's ONNX graph becomes one that answers at every position, whoever exported it.

Everything between the last map (n, c, h, w) and the answer (n, classes) is the tail. It never looks
at the image again, so it can be slid over a larger map: a fully connected layer over k_h x k_w
cells is a convolution of that kernel, each one after it is a 1x1 convolution, an average over the
whole map becomes a window that slides by one cell (Long et al., "Fully Convolutional Networks for
Semantic Segmentation", 2015).

Exporters write the tail in many ways: NCHW or NHWC before the flattening, Gemm or MatMul and Add,
shapes that are constant or computed. So no pattern is looked for. Each tensor of the tail is
followed as a `View`: which channel and cell of the last map's window each of its numbers is of.
What an operator does to a view, and what stands for it in the new graph, is a row of `rules.RULES`;
what has no row is refused by name.

    source     the classifier as it came: its native size, every shape there, its last maps
    tail       follows the views through the rules and grafts what stands for them
    opening    height, width and batch are opened, and what an export baked of them
    convert    these three, one after the other, and the analysis of what came of them
    native     the proof: at the native size the converted graph gives the classifier's answer
    patches    what was measured: one dense answer against the classifier on every patch
    upsample   the grid of answers at the image's own size
"""
