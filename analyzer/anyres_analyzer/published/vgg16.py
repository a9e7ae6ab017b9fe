"""VGG16 (Simonyan and Zisserman, "Very Deep Convolutional Networks", 2015, configuration D)."""

from __future__ import annotations

from anyres_analyzer.published.net import Feature, Net

STAGES = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))  # (convolutions, channels)
HIDDEN = 4096
MAP = 7  # pixels of the last map at 224, which the first layer of the head is made for


def vgg16(*, dense: bool = False, classes: int = 1000, thinner: int = 1) -> Net:
    """The classifier of 224x224 images, or `dense`: its head as convolutions, for any size.

    All widths but the classes are divided by `thinner`.
    """
    net = Net()
    *_, x = trunk(net, thinner=thinner)
    hidden = HIDDEN // thinner
    if dense:
        x = net.relu(net.conv(x, hidden, MAP, name="fc6"))
        x = net.relu(net.conv(x, hidden, 1, name="fc7"))
        net.conv(x, classes, 1, name="fc8")
    else:
        x = net.relu(net.linear(x, x.channels * MAP**2, hidden, name="fc6"))
        x = net.relu(net.linear(x, hidden, hidden, name="fc7"))
        net.linear(x, hidden, classes, name="fc8")
    return net


def trunk(net: Net, *, pad: int = 1, ceil: bool = False, thinner: int = 1) -> list[Feature]:
    """conv1_1 to pool5; what the five pools make. `pad` is that of conv1_1."""
    x, pools = net.image, []
    for stage, (layers, channels) in enumerate(STAGES, 1):
        for layer in range(1, layers + 1):
            border = pad if stage == layer == 1 else 1
            name = f"conv{stage}_{layer}"
            x = net.relu(net.conv(x, channels // thinner, 3, pad=border, name=name))
        x = net.max_pool(x, 2, ceil=ceil, name=f"pool{stage}")
        pools.append(x)
    return pools
