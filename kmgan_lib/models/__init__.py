"""Networks: Tables 2, 3 and 5 of the paper and the DCGAN of MNIST, widened or narrowed by one factor.

A discriminator of KM-GAN is a feature extractor, so every discriminator here maps images to features (b, d); the
method that needs a probability (DCGAN) puts one linear unit on top. Convolutions are 5x5 with stride 2 and "same"
padding. TensorFlow pads (1, 2) for stride 2 on even sizes where PyTorch pads (2, 2) and (2, 2) with one extra output
row: a known, small difference from the code that the paper builds on (readings, row 46).
"""

from typing import Any

from torch import nn

from kmgan_lib.config import Preset
from kmgan_lib.models.convolutional import ConvDiscriminator, ConvGenerator
from kmgan_lib.models.layers import normalised, parameter_count
from kmgan_lib.models.mnist import MnistDiscriminator, MnistGenerator
from kmgan_lib.models.synthetic import SyntheticDiscriminator, SyntheticGenerator

__all__ = [
    "ConvDiscriminator", "ConvGenerator", "MnistDiscriminator", "MnistGenerator", "SyntheticDiscriminator",
    "SyntheticGenerator", "build_discriminator", "build_generator", "parameter_count",
]  # fmt: skip


def build_generator(preset: Preset, classes: int = 0) -> nn.Module:
    """The preset's generator network, weights drawn from PyTorch's default random generator."""
    if preset.network == "synthetic":
        return SyntheticGenerator(z_dim=preset.z_dim, width=preset.width)
    size: dict[str, Any] = {
        "z_dim": preset.z_dim, "channels": preset.channels, "image_size": preset.image_size, "width": preset.width,
        "classes": classes,
    }  # fmt: skip
    return MnistGenerator(**size) if preset.network == "mnist" else ConvGenerator(preset.network, **size)


def build_discriminator(preset: Preset, classes: int = 0) -> nn.Module:
    """The preset's discriminator network, which ends in features."""
    if preset.network == "synthetic":
        return SyntheticDiscriminator(width=preset.width)
    size: dict[str, Any] = {
        "head": preset.head, "feature_dim": preset.feature_dim, "channels": preset.channels,
        "image_size": preset.image_size, "width": preset.width, "classes": classes, "tail": preset.tail,
    }  # fmt: skip
    if preset.network == "mnist":
        net: nn.Module = MnistDiscriminator(conv_channels=(preset.conv_first, preset.conv_second), **size)
    else:
        net = ConvDiscriminator(preset.network, **size)
    return normalised(net, preset.norm)
