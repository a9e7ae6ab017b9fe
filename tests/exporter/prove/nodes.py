"""Nodes of the files that are compared with the models of `nets`."""

STEM = (
    "a = Conv <kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]> (image, stem_weight, stem_bias)"
)
SKIP = f"""{STEM}
    up = ConvTranspose <kernel_shape=[2,2], strides=[2,2]> (a, up_weight, up_bias)
    zero = Constant <value_ints = [0]> () one = Constant <value_ints = [1]> ()
    channels = Constant <value_ints = [1]> ()
    red = Slice (image, zero, one, channels)"""
DENSE = f"{STEM} r = Relu (a) y = Conv <kernel_shape=[1,1]> (r, head_weight, head_bias)"
