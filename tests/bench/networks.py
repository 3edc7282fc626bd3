"""Vision networks as their papers and reference code lay them out: what one image leaves for backward.

Each network is a table of its stages. Counted per image, in elements: what a convolution or a linear layer reads (its
weight's gradient needs it), what a normalisation reads, what an activation needs: a rectifier works in place and its result
is the next layer's input; a bounded one, SiLU and GELU need what they read besides. Sources: He et al. 2015, Simonyan and Zisserman 2014,
Dosovitskiy et al. 2020, Sandler et al. 2018, Tan and Le 2019, Chollet 2016, Szegedy et al. 2015 (version 3), Liu et al. 2021
and 2022, Bao et al. 2021, Radosavovic et al. 2020, with the layer tables of torchvision and timm.
"""
IMAGE = 224  # of every run in the table, whatever a network was trained with


class Count:
    """Elements that are kept, and the largest tensor."""

    def __init__(self, side):
        self.kept, self.widest = 3 * side ** 2, 0

    def keep(self, channels, side, times=1):
        self.kept += times * channels * side ** 2
        self.widest = max(self.widest, channels * side ** 2)
        return self

    def result(self):
        return self.kept, self.widest


def resnet(counts, bottleneck):
    count = Count(IMAGE).keep(64, 112, 2).keep(64, 56, 3)
    for stage, blocks in enumerate(counts):
        width, side = 64 << stage, 56 >> stage
        for block in range(blocks):
            entry = side * 2 if block == 0 and stage else side
            if bottleneck:
                count.keep(width, entry, 2).keep(width, side, 2).keep(4 * width, side, 2)
                count.keep(4 * width, side, block == 0)
            else:
                count.keep(width, side, 4).keep(width, side, block == 0 and stage > 0)
    return count.result()


def vgg16(normalised):
    count = Count(IMAGE)
    for layers, width, side in ((2, 64, 224), (2, 128, 112), (3, 256, 56), (3, 512, 28), (3, 512, 14)):
        count.keep(width, side, layers * (2 if normalised else 1))
        count.keep(width, side // 2, 3)  # pooled, and where each maximum was, in eight bytes
    return count.result()


def vit(hidden, blocks, scaled=0):
    """Blocks of attention and MLP over 14 x 14 patches and one token: 16 times the width, and twice more where each half
    of a block is scaled by learned factors."""
    tokens = 14 * 14 + 1
    return 3 * IMAGE ** 2 + blocks * tokens * hidden * (16 + 2 * scaled), tokens * hidden * 4


def inverted(stages, stem, head, needs, squeezed):
    """MobileNetV2 and EfficientNet: (expansion, channels, blocks, stride). `needs` is how often an activation's size is
    kept with the convolution and the normalisation before it; `squeezed` blocks keep their middle once more."""
    side, channels = IMAGE // 2, stem
    count = Count(IMAGE).keep(stem, side, needs)
    for expansion, out, blocks, stride in stages:
        for block in range(blocks):
            middle = channels * expansion
            count.keep(middle, side, needs if expansion > 1 else 0)
            side = side // stride if block == 0 else side
            count.keep(middle, side, needs + squeezed).keep(out, side, 2)
            channels = out
    return count.keep(head, side, needs).result()


MOBILENET_V2 = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
EFFICIENTNET_B0 = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 40, 2, 2), (6, 80, 3, 2), (6, 112, 3, 1), (6, 192, 4, 2),
                   (6, 320, 1, 1))


def xception():
    """Blocks of separable convolutions: what each half reads and what is normalised."""
    count = Count(IMAGE).keep(32, 111, 2).keep(64, 109, 2)

    def separable(channels, out, side):
        count.keep(channels, side, 2).keep(out, side)

    channels = 64
    for out, side, half in ((128, 109, 55), (256, 55, 28), (728, 28, 14)):
        separable(channels, out, side)
        separable(out, out, side)
        count.keep(out, side).keep(out, half, 4)  # the pool's input, its output with places, the skip's two
        channels = out
    for _ in range(8 * 3):
        separable(728, 728, 14)
    count.keep(728, 14, 8)
    separable(728, 728, 14)
    separable(728, 1024, 14)
    count.keep(1024, 14).keep(1024, 7, 4)
    separable(1024, 1536, 7)
    separable(1536, 2048, 7)
    return count.keep(2048, 7).result()


# (channels, side) of every convolution, and of what its blocks hand on; each is normalised and rectified.
INCEPTION_STEM = ((32, 111), (32, 109), (64, 109), (80, 54), (192, 52))
INCEPTION_BLOCKS = (
    *(((64, 48, 64, 64, 96, 96, pool), 25, (), 25, 224 + pool, entry) for pool, entry in ((32, 192), (64, 256), (64, 288))),
    ((64, 96), 25, (384, 96), 12, 768, 288),
    *(((192, width, width, 192, width, width, width, width, 192, 192), 12, (), 12, 768, 768)
      for width in (128, 160, 160, 192)),
    ((192, 192, 192, 192), 12, (320, 192), 5, 1280, 768),
    *(((320, 384, 384, 384, 448, 384, 384, 384, 192), 5, (), 5, 2048, entry) for entry in (1280, 2048)),
)


def inception_v3():
    count = Count(IMAGE)
    for channels, side in INCEPTION_STEM:
        count.keep(channels, side, 2)
    count.keep(64, 54, 3).keep(192, 25, 3)
    for wide, side, reduced, half, out, entry in INCEPTION_BLOCKS:
        for channels in wide:
            count.keep(channels, side, 2)
        for channels in reduced:
            count.keep(channels, half, 2)
        count.keep(entry, half if reduced else side, 2 if reduced else 1).keep(out, half)  # the pool's, then all joined
    return count.result()


def convnext(width):
    """A block keeps twelve times its width: two inputs of the first convolution and norm, the norm's output, four times the
    width before GELU and after, what is scaled, and the sum."""
    count = Count(IMAGE)
    for stage, blocks in enumerate((3, 3, 27 if width > 96 else 9, 3)):
        count.keep(width << stage, 56 >> stage, 12 * blocks + 2)
    count.widest *= 4
    return count.result()


def swin(width):
    """As a ViT's block, with windows cut out and put back, and scores of windows of 49 tokens by heads of 32."""
    count = Count(IMAGE)
    for stage, blocks in enumerate((2, 2, 6, 2)):
        count.keep(width << stage, 56 >> stage, blocks * (16 + 2 * 49 / 32))
    count.widest *= 4
    return count.result()


def regnet_y(widths, depths):
    count, side = Count(IMAGE).keep(32, 112, 2), 112
    for width, depth in zip(widths, depths):
        for block in range(depth):
            count.keep(width, side, 2)
            side = side // 2 if block == 0 else side
            count.keep(width, side, 2 + 1 + 2 + (block == 0))  # grouped, squeezed, the sum; the skip's own
    return count.result()


NETWORKS = {
    "resnet18": resnet((2, 2, 2, 2), False), "resnet34": resnet((3, 4, 6, 3), False),
    "resnet50": resnet((3, 4, 6, 3), True), "resnet101": resnet((3, 4, 23, 3), True),
    "vgg16": vgg16(False), "vgg16_bn": vgg16(True),
    "vit_small_patch16_224": vit(384, 12), "deit_small_patch16_224": vit(384, 12),
    "vit_base_patch16_224": vit(768, 12), "vit_large_patch16_224": vit(1024, 24),
    "beit_base_patch16_224": vit(768, 12, 1),
    "mobilenet_v2": inverted(MOBILENET_V2, 32, 1280, 3, 0), "mobilenetv2_100": inverted(MOBILENET_V2, 32, 1280, 3, 0),
    "efficientnet_b0": inverted(EFFICIENTNET_B0, 32, 1280, 3, 1),
    "xception": xception(), "inception_v3": inception_v3(),
    "convnext_tiny": convnext(96), "convnext_base": convnext(128),
    "swin_tiny_patch4_window7_224": swin(96),
    "regnety_032": regnet_y((72, 216, 576, 1512), (2, 5, 13, 1)),
}
# Networks of linear layers and attention leave a convolution library nothing to do.
WITHOUT_CONVOLUTIONS = ("vit_", "deit_", "beit_", "swin_")
