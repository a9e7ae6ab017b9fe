"""AlexNet: as torchvision has it (Krizhevsky, 2014), and as Caffe has it (Krizhevsky et al., 2012).

Caffe's splits three layers into two groups, normalizes over channels, and its pools keep a last
window that is not full.
"""

from __future__ import annotations

from anyres_analyzer.published.net import Feature, Net

HIDDEN = 4096
MAP = 6  # pixels of the last map at 224 (at 227 in Caffe)


def alexnet(*, classes: int = 1000, thinner: int = 1) -> Net:
    """The classifier of 224x224 images, in torchvision's form."""
    net = Net()
    x = net.relu(net.conv(net.image, 64 // thinner, 11, stride=4, pad=2))
    x = net.max_pool(x, 3)
    x = net.max_pool(net.relu(net.conv(x, 192 // thinner, 5, pad=2)), 3)
    for channels in (384, 256, 256):
        x = net.relu(net.conv(x, channels // thinner, 3, pad=1))
    _fully_connected(net, net.max_pool(x, 3), classes, thinner)
    return net


def caffe_alexnet(
    *, dense: bool = False, ceil: bool = True, classes: int = 1000, thinner: int = 1
) -> Net:
    """The classifier of 227x227 images in Caffe's form, or `dense`: its head as convolutions."""
    net = Net()
    x = caffe_trunk(net, ceil=ceil, thinner=thinner)
    if dense:
        net.conv(caffe_head(net, x, thinner=thinner), classes, 1, name="fc8")
    else:
        _fully_connected(net, x, classes, thinner)
    return net


def caffe_trunk(net: Net, *, pad: int = 0, ceil: bool = True, thinner: int = 1) -> Feature:
    """conv1 to pool5. `pad` is that of conv1."""
    x = net.conv(net.image, 96 // thinner, 11, stride=4, pad=pad, name="conv1")
    x = net.lrn(net.max_pool(net.relu(x), 3, ceil=ceil, name="pool1"))
    x = net.conv(x, 256 // thinner, 5, pad=2, groups=2, name="conv2")
    x = net.lrn(net.max_pool(net.relu(x), 3, ceil=ceil, name="pool2"))
    x = net.relu(net.conv(x, 384 // thinner, 3, pad=1, name="conv3"))
    x = net.relu(net.conv(x, 384 // thinner, 3, pad=1, groups=2, name="conv4"))
    x = net.relu(net.conv(x, 256 // thinner, 3, pad=1, groups=2, name="conv5"))
    return net.max_pool(x, 3, ceil=ceil, name="pool5")


def caffe_head(net: Net, x: Feature, *, thinner: int = 1) -> Feature:
    """fc6 and fc7 as convolutions."""
    hidden = HIDDEN // thinner
    x = net.relu(net.conv(x, hidden, MAP, name="fc6"))
    return net.relu(net.conv(x, hidden, 1, name="fc7"))


def _fully_connected(net: Net, x: Feature, classes: int, thinner: int) -> None:
    hidden = HIDDEN // thinner
    x = net.relu(net.linear(x, x.channels * MAP**2, hidden, name="fc6"))
    x = net.relu(net.linear(x, hidden, hidden, name="fc7"))
    net.linear(x, hidden, classes, name="fc8")
