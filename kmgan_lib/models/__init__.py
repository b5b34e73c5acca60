"""Networks: Tables 2, 3 and 5 of the paper and the DCGAN of MNIST, with one factor on their width.

Every discriminator here is a feature extractor: images to features (b, d). Convolutions are 5x5 with stride 2, padded
(2, 2) where TensorFlow pads (1, 2): a small difference from the code that the paper builds on (readings, row 46).
"""

from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from kmgan_lib.config import Preset
from kmgan_lib.models import networks
from kmgan_lib.models.layers import parameter_count, without_batch_norm

__all__ = ["build_discriminator", "build_generator", "networks", "parameter_count"]


def build_generator(preset: Preset, classes: int = 0) -> nn.Module:
    """The preset's generator network, weights drawn from PyTorch's default random generator."""
    return networks.NETWORKS[preset.network][0](preset, classes)


def build_discriminator(preset: Preset, classes: int = 0) -> nn.Module:
    """The preset's discriminator network, which ends in features."""
    net = networks.NETWORKS[preset.network][1](preset, classes)
    if preset.norm == "batch" or preset.network == "synthetic":
        return net
    # Miyato et al. (2018) divide weights by their largest singular value, tracked by a step of the power method.
    return without_batch_norm(net, nn.Identity, spectral_norm if preset.norm == "spectral" else None)
