"""Networks: Table 2 of the paper and the DCGAN of MNIST, widened or narrowed by one factor.

A discriminator of KM-GAN is a feature extractor, so every discriminator here maps images to features (b, d); the
method that needs a probability (DCGAN) puts one linear unit on top. Convolutions are 5x5 with stride 2 and "same"
padding. TensorFlow pads (1, 2) for stride 2 on even sizes where PyTorch pads (2, 2) and (2, 2) with one extra output
row: a known, small difference from the code that the paper builds on (readings, row 46).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HEADS = ("penultimate", "bn-relu", "sigmoid")
NETWORKS = ("synthetic", "mnist")


def scaled(channels: int, width: float) -> int:
    """Number of channels after the width factor: exact at 1, else a multiple of 8 (vector units) and at least 8."""
    return channels if width == 1 else max(8, 8 * round(channels * width / 8))


def _one_hot_maps(labels: Tensor, classes: int, like: Tensor) -> Tensor:
    """One-hot labels as constant maps (b, classes, h, w), the way conditional DCGAN feeds them to a convolution."""
    hot = F.one_hot(labels, classes).to(like.dtype)
    return hot if like.ndim == 2 else hot[:, :, None, None].expand(-1, -1, like.shape[2], like.shape[3])


def _join(x: Tensor, labels: Tensor | None, classes: int) -> Tensor:
    if not classes:
        return x
    if labels is None:
        raise ValueError("a conditional network needs labels")
    return torch.cat([x, _one_hot_maps(labels, classes, x)], 1)


def initialise(module: nn.Module) -> None:
    """Weights as in carpedm20/DCGAN-tensorflow: N(0, 0.02), truncated at two deviations for convolutions; biases 0."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.trunc_normal_(layer.weight, std=0.02, a=-0.04, b=0.04)
        elif isinstance(layer, (nn.Linear, nn.ConvTranspose2d)):
            nn.init.normal_(layer.weight, std=0.02)
        else:
            continue
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def _feature_head(hidden: int, head: str, feature_dim: int) -> nn.Module:
    if head == "penultimate":
        return nn.Identity()
    if head == "bn-relu":
        return nn.Sequential(nn.Linear(hidden, feature_dim), nn.BatchNorm1d(feature_dim), nn.ReLU())
    return nn.Sequential(nn.Linear(hidden, feature_dim), nn.Sigmoid())


class MnistGenerator(nn.Module):
    """The generator of the MNIST DCGAN: z -> FC 1024 -> FC 7x7x128 -> deconv 128 -> deconv c, sigmoid.

    Parameters
    ----------
    z_dim : int
        Length of the noise vector.
    channels, image_size : int
        Colour channels and side length of the pictures in pixels; the side is a multiple of 4.
    width : float
        Factor on every hidden width; 1 is the original.
    classes : int
        Number of classes whose one-hot label joins every layer's input (conditional DCGAN); 0 for none.

    Notes
    -----
    Source: carpedm20/DCGAN-tensorflow, ``model.py``. Output in [0, 1].
    """

    def __init__(
        self, *, z_dim: int = 100, channels: int = 1, image_size: int = 28, width: float = 1.0, classes: int = 0
    ):
        super().__init__()
        hidden, maps = scaled(1024, width), scaled(128, width)
        self.classes, self.maps, self.side = classes, maps, image_size // 4
        self.fc1 = nn.Linear(z_dim + classes, hidden)
        self.bn1 = nn.BatchNorm1d(hidden)
        self.fc2 = nn.Linear(hidden + classes, maps * self.side**2)
        self.bn2 = nn.BatchNorm1d(maps * self.side**2)
        self.up1 = nn.ConvTranspose2d(maps + classes, maps, 5, stride=2, padding=2, output_padding=1)
        self.bn3 = nn.BatchNorm2d(maps)
        self.up2 = nn.ConvTranspose2d(maps + classes, channels, 5, stride=2, padding=2, output_padding=1)
        initialise(self)

    def forward(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """Noise (b, z_dim) and, if conditional, labels (b,) to images (b, c, h, w) in [0, 1]."""
        x = F.relu(self.bn1(self.fc1(_join(noise, labels, self.classes))))
        x = F.relu(self.bn2(self.fc2(_join(x, labels, self.classes))))
        x = x.view(-1, self.maps, self.side, self.side)
        x = F.relu(self.bn3(self.up1(_join(x, labels, self.classes))))
        return torch.sigmoid(self.up2(_join(x, labels, self.classes)))


class MnistDiscriminator(nn.Module):
    """The discriminator of the MNIST DCGAN without its last unit: conv -> conv -> FC 1024 -> features.

    Parameters
    ----------
    head : {"penultimate", "bn-relu", "sigmoid"}
        What the features are: the 1,024 units themselves; FC d, batch normalisation and ReLU (as Table 3 ends); or
        FC d and sigmoid (as Tables 2 and 5 end).
    feature_dim : int
        d for the last two heads.
    conv_channels : tuple of int
        Channels of the two convolutions. carpedm20 has c_dim + y_dim = 11 and df_dim + y_dim = 74, numbers that only
        make sense with ten labels at hand.
    channels, image_size, width, classes
        As in `MnistGenerator`.

    Notes
    -----
    Source: carpedm20/DCGAN-tensorflow, ``model.py``; readings, rows 12 and 13. LeakyReLU with slope 0.2.
    """

    def __init__(
        self,
        *,
        head: str = "bn-relu",
        feature_dim: int = 100,
        conv_channels: tuple[int, int] = (11, 74),
        channels: int = 1,
        image_size: int = 28,
        width: float = 1.0,
        classes: int = 0,
    ):
        super().__init__()
        first, second, hidden = scaled(conv_channels[0], width), scaled(conv_channels[1], width), scaled(1024, width)
        self.classes = classes
        self.conv1 = nn.Conv2d(channels + classes, first, 5, stride=2, padding=2)
        self.conv2 = nn.Conv2d(first + classes, second, 5, stride=2, padding=2)
        self.bn2 = nn.BatchNorm2d(second)
        self.fc = nn.Linear(second * (image_size // 4) ** 2 + classes, hidden)
        self.bn3 = nn.BatchNorm1d(hidden)
        self.head = _feature_head(hidden, head, feature_dim)
        self.feature_dim = hidden if head == "penultimate" else feature_dim
        initialise(self)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (b, c, h, w) and, if conditional, labels (b,) to features (b, d)."""
        x = F.leaky_relu(self.conv1(_join(images, labels, self.classes)), 0.2)
        x = F.leaky_relu(self.bn2(self.conv2(_join(x, labels, self.classes))), 0.2)
        x = F.leaky_relu(self.bn3(self.fc(_join(x.flatten(1), labels, self.classes))), 0.2)
        return self.head(x)


def _dense(sizes: list[int]) -> list[nn.Module]:
    """FC, ReLU, BN for each pair of sizes: Table 2 prints "ReLU BN", in this order (readings, row 29)."""
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU(), nn.BatchNorm1d(after)]
    return layers


class SyntheticGenerator(nn.Module):
    """Generator of Table 2: FC 10, 50, 100, each followed by ReLU and batch normalisation, the last one too.

    Parameters
    ----------
    z_dim : int
        Length of the noise vector (100 in Table 2).
    width : float
        Factor on the two hidden widths; 1 is Table 2.
    """

    def __init__(self, *, z_dim: int = 100, width: float = 1.0):
        super().__init__()
        self.classes = 0
        self.layers = nn.Sequential(*_dense([z_dim, scaled(10, width), scaled(50, width), 100]))

    def forward(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """Noise (b, z_dim) to points (b, 100)."""
        return self.layers(noise)


class SyntheticDiscriminator(nn.Module):
    """Discriminator of Table 2: FC 100, 50, 10 with ReLU and batch normalisation, FC 2, sigmoid.

    Parameters
    ----------
    width : float
        Factor on the three hidden widths; 1 is Table 2. The two features stay two.
    """

    def __init__(self, *, width: float = 1.0):
        super().__init__()
        self.classes, self.feature_dim = 0, 2
        hidden = [scaled(n, width) for n in (100, 50, 10)]
        self.layers = nn.Sequential(*_dense([100, *hidden]), nn.Linear(hidden[-1], 2), nn.Sigmoid())

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Points (b, 100) to features (b, 2) in (0, 1)."""
        return self.layers(images)


def parameter_count(module: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def reestimate_batch_norm(module: nn.Module, batches: Callable[[int], object], count: int) -> None:
    """Replace the running statistics of every batch normalisation by plain averages over ``count`` fresh batches.

    In training the statistics of real and generated batches mix and lag behind the weights, so nothing is sampled or
    measured with them (readings, row 22).

    Parameters
    ----------
    module : nn.Module
        Network in which every batch normalisation is reset; left in evaluation mode.
    batches : callable
        ``batches(i)`` runs the i-th batch through ``module``.
    count : int
        Number of batches.
    """
    norms = [m for m in module.modules() if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d))]
    momenta = [m.momentum for m in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # PyTorch's cumulative average
    module.train()
    with torch.no_grad():
        for i in range(count):
            batches(i)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    module.eval()
