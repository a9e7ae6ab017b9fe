"""Every published figure that the analyzer must find again: the table behind `anyres selftest`.

    Araujo, Norris, Sim: Computing Receptive Fields of Convolutional Neural Networks. Distill 2019
    Long, Shelhamer, Darrell: Fully Convolutional Networks for Semantic Segmentation. CVPR 2015
    Ronneberger, Fischer, Brox: U-Net. MICCAI 2015
    Sandler et al.: MobileNetV2. CVPR 2018
    Sze et al.: Efficient Processing of Deep Neural Networks. Proceedings of the IEEE 2017
    torchvision: the table of its models, exact parameters and rounded multiply-adds

Most of them round: what is expected is the exact number, counted layer by layer, and the source
says what they print. Not every figure is in print; what only follows from a network's layers is
"by hand". Two measured times are left out (1.2 ms for a crop and 22 ms for a 500x500 image: Long et
al., "more than 5 times faster"); what the layers tell of that is the ratio of multiply-adds. Their
parameters and fields are those of the scores, before the transposed convolutions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from anyres_analyzer.published.alexnet import alexnet, caffe_alexnet
from anyres_analyzer.published.fcn import fcn_alexnet, fcn_vgg16
from anyres_analyzer.published.figure import Figure, Network, Value
from anyres_analyzer.published.mobilenet_v2 import mobilenet_v2
from anyres_analyzer.published.readings import (
    constant_and_slopes,
    convolutions,
    crops_per_pass,
    field_and_stride,
    field_stride_and_padding,
    fully_connected_share,
    in_layer,
    learned,
    macs_at,
    macs_in_closed_form,
    map_at,
    map_like_image,
    smallest_and_step,
    stride_and_offset,
)
from anyres_analyzer.published.resnet50 import resnet50
from anyres_analyzer.published.unet import unet
from anyres_analyzer.published.vgg16 import vgg16

BY_HAND = "by hand, layer by layer"
ARAUJO = "Araujo et al. 2019"
CAFFE = "authors' Caffe files"
LONG = "Long et al. 2015"
RONNEBERGER = "Ronneberger et al. 2015"
TORCHVISION = "torchvision"

Row: TypeAlias = tuple[str, Value, str, Callable[..., Value]]  # a Figure without its networks

VGG16_FIELDS = {  # receptive field, stride, padding
    "conv1_1": (3, 1, 1),
    "pool1": (6, 2, 2),
    "pool2": (16, 4, 6),
    "pool3": (44, 8, 18),
    "pool4": (100, 16, 42),
    "pool5": (212, 32, 90),
}
ANY_SIZES = ((1, 1), (37, 50), (224, 224), (333, 500), (500, 375))  # (height, width)

VGG16 = (Network("VGG16", lambda: vgg16().model()),)
VGG16_LAYERS = (Network("VGG16", lambda: vgg16().model(*VGG16_FIELDS)),)
ALEXNET = (Network("AlexNet", lambda: alexnet().model()),)
RESNET50 = (Network("ResNet-50", lambda: resnet50().model()),)
MOBILENET_V2 = (Network("MobileNetV2", lambda: mobilenet_v2().model()),)
CROPS = (Network("AlexNet in Caffe's form", lambda: caffe_alexnet().model()),)
DENSE = (Network("AlexNet, dense", lambda: caffe_alexnet(dense=True).model()),)
FLOOR = (Network("AlexNet, dense", lambda: caffe_alexnet(dense=True, ceil=False).model()),)
FCN_ALEXNET = (Network("FCN-AlexNet", lambda: fcn_alexnet().model()),)
FCN_ALEXNET_SCORES = (Network("FCN-AlexNet", lambda: fcn_alexnet().model("score")),)
FCN_32S = (Network("FCN-32s", lambda: fcn_vgg16(stride=32).model()),)
FCN_32S_SCORES = (Network("FCN-32s", lambda: fcn_vgg16(stride=32).model("score")),)
FCN_16S = (Network("FCN-16s", lambda: fcn_vgg16(stride=16).model()),)
FCN_8S = (Network("FCN-8s", lambda: fcn_vgg16(stride=8).model()),)
UNET = (Network("U-Net", lambda: unet().model()),)
SMALL_UNETS = (
    Network("U-Net", lambda: unet(channels=1, classes=1).model()),
    Network("U-Net", lambda: unet(channels=2, classes=1).model()),
    Network("U-Net", lambda: unet(channels=1, classes=2).model()),
)
SAME_UNET = (Network("U-Net, same-padded", lambda: unet(same=True).model()),)

SCORES = "parameters up to scores"
FIELD = "scores: field/stride"
SHARE = "% of them fully connected"
UPSAMPLED: tuple[Row, ...] = (
    ("sizes whose map is as large", "all", LONG, map_like_image(ANY_SIZES)),
    ("map: stride/offset", (1, 0), CAFFE, stride_and_offset),
)


def _of(networks: tuple[Network, ...], *rows: Row) -> tuple[Figure, ...]:
    return tuple(Figure(*row, networks) for row in rows)


FIGURES = (
    *_of(
        VGG16,
        ("parameters", 138_357_544, TORCHVISION, learned),
        ("parameters of fc6", 102_764_544, BY_HAND, in_layer("fc6")),
        (SHARE, 89.36, BY_HAND, fully_connected_share),
        ("MACs at 224x224", 15_470_264_320, f"{TORCHVISION}: 15.47 G", macs_at(224)),
    ),
    *_of(
        VGG16_LAYERS,
        *(
            (f"{layer}: field/stride/padding", expected, ARAUJO, field_stride_and_padding(layer))
            for layer, expected in VGG16_FIELDS.items()
        ),
    ),
    *_of(
        ALEXNET,
        ("parameters", 61_100_840, TORCHVISION, learned),
        (SHARE, 95.96, BY_HAND, fully_connected_share),
        ("MACs at 224x224", 714_188_480, f"{TORCHVISION}: 0.714 G", macs_at(224)),
    ),
    *_of(
        RESNET50,
        ("parameters", 25_557_032, TORCHVISION, learned),
        (SHARE, 8.02, BY_HAND, fully_connected_share),
        ("MACs at 224x224", 4_089_184_256, f"{TORCHVISION}: 4.089 G", macs_at(224)),
    ),
    *_of(
        MOBILENET_V2,
        ("parameters", 3_504_872, TORCHVISION, learned),
        ("MACs at 224x224", 300_774_272, "Sandler et al. 2018: 300 M", macs_at(224)),
    ),
    *_of(CROPS, ("MACs at 227x227", 724_406_816, "Sze et al. 2017: 724 M", macs_at(227))),
    *_of(
        DENSE,
        ("MACs at 500x500", 9_324_092_192, BY_HAND, macs_at(500)),
        ("map at 500x500", (10, 10), f"{LONG}, 3.1", map_at(500)),
    ),
    *_of(FLOOR, ("map if pools round down", (9, 9), BY_HAND, map_at(500))),
    *_of(
        (*DENSE, *CROPS),
        ("crops of 227x227 / one pass", 7.77, f"{LONG}: over 5", crops_per_pass(227, 500)),
    ),
    *_of(
        FCN_ALEXNET_SCORES,
        (SCORES, 56_954_261, f"{LONG}: 57 M", learned),
        (FIELD, (355, 32), f"{LONG}, Table 1", field_and_stride),
    ),
    *_of(FCN_ALEXNET, *UPSAMPLED),
    *_of(
        FCN_32S_SCORES,
        (SCORES, 134_346_581, f"{LONG}: 134 M", learned),
        (FIELD, (404, 32), f"{LONG}, Table 1", field_and_stride),
    ),
    *_of(FCN_32S, *UPSAMPLED),
    *_of(FCN_16S, *UPSAMPLED),
    *_of(FCN_8S, *UPSAMPLED),
    *_of(UNET, ("layers: 3x3/up/1x1", (18, 4, 1), f"{RONNEBERGER}: 23", convolutions)),
    *_of(
        SMALL_UNETS,
        ("parameters/a channel/a class", (31_030_528, 576, 65), BY_HAND, constant_and_slopes),
    ),
    *_of(
        UNET,
        ("sizes: smallest/step", (188, 16), RONNEBERGER, smallest_and_step),
        ("map at 572x572", (388, 388), RONNEBERGER, map_at(572)),
        ("MACs at 572x572", 150_428_424_448, BY_HAND, macs_at(572)),
    ),
    *_of(
        SAME_UNET,
        ("sizes: smallest/step", (16, 16), BY_HAND, smallest_and_step),
        ("MACs", "733,888 HW", BY_HAND, macs_in_closed_form),
    ),
)
