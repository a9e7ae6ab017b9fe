"""Fully convolutional networks (Long, Shelhamer and Darrell, 2015), as their Caffe files have them.

The first layer pads by 100 so that no image is too small for the head. What comes out of the
transposed convolutions is therefore larger than the image, and every crop's offset is what puts its
middle back on the image's: with pad 100 those are the numbers below.
"""

from __future__ import annotations

from anyres_analyzer.published import alexnet, vgg16
from anyres_analyzer.published.net import Feature, Net

PAD = 100
CLASSES = 21  # of PASCAL VOC, with background


def fcn_alexnet(*, classes: int = CLASSES, thinner: int = 1) -> Net:
    """FCN-AlexNet: scores every 32 pixels, upsampled at once."""
    net = Net()
    x = alexnet.caffe_trunk(net, pad=PAD, thinner=thinner)
    x = net.conv(alexnet.caffe_head(net, x, thinner=thinner), classes, 1, name="score")
    _to_image(net, x, 63, 32, offset=18)
    return net


def fcn_vgg16(*, stride: int = 8, classes: int = CLASSES, thinner: int = 1) -> Net:
    """FCN-32s, 16s or 8s: scores of the coarsest map, and of pool4 and pool3 where they help.

    Raises:
        KeyError: the stride is none of these.
    """
    net = Net()
    _, _, pool3, pool4, pool5 = vgg16.trunk(net, pad=PAD, ceil=True, thinner=thinner)
    x = _score(net, pool5, classes, vgg16.HIDDEN // thinner)
    finer = {32: (), 16: ((pool4, 5),), 8: ((pool4, 5), (pool3, 9))}[stride]
    for pool, offset in finer:
        up = net.up_conv(x, classes, 4, stride=2, bias=False, name=f"upscore_{pool.name}")
        score = net.conv(pool, classes, 1, name=f"score_{pool.name}")
        x = net.add(up, net.crop(score, up, offset))
    _to_image(net, x, 2 * stride, stride, offset={32: 19, 16: 27, 8: 31}[stride])
    return net


def _score(net: Net, x: Feature, classes: int, hidden: int) -> Feature:
    x = net.relu(net.conv(x, hidden, vgg16.MAP, name="fc6"))
    x = net.relu(net.conv(x, hidden, 1, name="fc7"))
    return net.conv(x, classes, 1, name="score")


def _to_image(net: Net, x: Feature, kernel: int, stride: int, *, offset: int) -> Feature:
    x = net.up_conv(x, x.channels, kernel, stride=stride, bias=False, name="upscore")
    return net.crop(x, net.image, offset)
