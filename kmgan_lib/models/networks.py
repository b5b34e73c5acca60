"""The networks of Table 2 (points), of the MNIST DCGAN (Section 4.2), of Table 3 (CIFAR-10) and Table 5 (CelebA).

Each is made from the fields of a preset, and from the number of classes that it is given, 0 for none.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kmgan_lib.config import Preset
from kmgan_lib.models.layers import Down, Up, concat_labels, feature_head, initialise, scale_width, to_float32


class _Dense(nn.Module):
    """FC, ReLU, BN for each pair of sizes: Table 2 prints "ReLU BN", in this order (readings, row 29)."""

    def __init__(self, *sizes: int):
        super().__init__()
        self.layers = nn.Sequential()
        for before, after in pairwise(sizes):
            self.layers.extend([nn.Linear(before, after), nn.ReLU(), nn.BatchNorm1d(after)])

    def forward(self, rows: Tensor, labels: Tensor | None = None) -> Tensor:
        """Noise (b, z_dim) to points (b, 100), or points to features (b, 2) in (0, 1); there are no labels."""
        return self.layers(rows)


class SyntheticGenerator(_Dense):
    """Generator of Table 2: FC 10, 50, 100, each followed by ReLU and batch normalization, the last one too."""

    def __init__(self, preset: Preset, classes: int = 0):
        super().__init__(preset.z_dim, *(scale_width(n, preset.width) for n in (10, 50)), 100)


class SyntheticDiscriminator(_Dense):
    """Discriminator of Table 2: FC 100, 50, 10 with ReLU and batch normalization, FC 2, sigmoid, at any width."""

    def __init__(self, preset: Preset, classes: int = 0):
        hidden = [scale_width(n, preset.width) for n in (100, 50, 10)]
        super().__init__(100, *hidden)
        self.feature_dim = 2
        self.layers.extend([nn.Linear(hidden[-1], 2), nn.Sigmoid()])


class MnistGenerator(nn.Module):
    """The generator of the MNIST DCGAN: z -> FC 1024 -> FC 7x7x128 -> deconv 128 -> deconv c, sigmoid.

    Source: carpedm20/DCGAN-tensorflow, ``model.py``. ``image_size`` is a multiple of 4, labels join every input.
    """

    def __init__(self, preset: Preset, classes: int = 0):
        super().__init__()
        hidden, maps = scale_width(1024, preset.width), scale_width(128, preset.width)
        self.classes, self.maps, self.side = classes, maps, preset.image_size // 4
        self.fc1 = nn.Linear(preset.z_dim + classes, hidden)
        self.bn1 = nn.BatchNorm1d(hidden)
        self.fc2 = nn.Linear(hidden + classes, maps * self.side**2)
        self.bn2 = nn.BatchNorm1d(maps * self.side**2)
        self.up1 = Up(maps, maps, classes)
        self.bn3 = nn.BatchNorm2d(maps)
        self.up2 = Up(maps, preset.channels, classes)
        initialise(self)

    def forward(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """Noise (b, z_dim) and, if conditional, labels (b,) to images (b, c, h, w) in [0, 1]."""
        x = F.relu(self.bn1(self.fc1(concat_labels(noise, labels, self.classes))))
        x = F.relu(self.bn2(self.fc2(concat_labels(x, labels, self.classes))))
        x = x.view(-1, self.maps, self.side, self.side)
        x = F.relu(self.bn3(self.up1(x, labels)))
        return torch.sigmoid(to_float32(self.up2(x, labels)))


class MnistDiscriminator(nn.Module):
    """The discriminator of the MNIST DCGAN without its last unit: conv -> conv -> FC 1024 -> features.

    Source: carpedm20/DCGAN-tensorflow, ``model.py``, whose convolutions have 11 and 74 channels (readings, rows 12 and
    13). ``head``: `kmgan_lib.models.layers.feature_head`. ``tail``: FC 1024 with batch normalization (``table``) or
    without it (``plain``), or nothing (``linear``).
    """

    def __init__(self, preset: Preset, classes: int = 0):
        super().__init__()
        p, self.classes = preset, classes
        first, second, hidden = (scale_width(n, p.width) for n in (p.conv_first, p.conv_second, 1024))
        self.conv1 = Down(p.channels, first, classes)
        self.conv2 = Down(first, second, classes)
        self.bn2 = nn.BatchNorm2d(second)
        units = second * (p.image_size // 4) ** 2 + classes
        hidden = units if p.tail == "linear" else hidden
        self.fc = nn.Identity() if p.tail == "linear" else nn.Linear(units, hidden)
        self.bn3 = nn.BatchNorm1d(hidden) if p.tail == "table" else nn.Identity()
        self.act = nn.Identity() if p.tail == "linear" else nn.LeakyReLU(0.2)
        self.head, self.feature_dim = feature_head(hidden, p)
        initialise(self)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (b, c, h, w) and, if conditional, labels (b,) to features (b, d)."""
        x = F.leaky_relu(self.conv1(images, labels), 0.2)
        x = F.leaky_relu(self.bn2(self.conv2(x, labels)), 0.2)
        return self.head(self.act(self.bn3(self.fc(concat_labels(x.flatten(1), labels, self.classes)))))


# Channels of G's up-convolutions from 4x4 on; the first number is the FC layer's. Smaller images drop the front.
GENERATOR_CHANNELS = {"cifar10": (512, 256, 128, 64), "celeba": (512, 256, 128, 128)}
# Channels of D's convolutions, the same in both tables. Smaller images drop the end.
DISCRIMINATOR_CHANNELS = (64, 128, 256, 512)
HIDDEN = 4096  # the FC layer of Table 3, which Table 5 lacks
STAGES = {64: 4, 32: 3}  # between the image and 4x4, by its side in pixels


class ConvGenerator(nn.Module):
    r"""Generator of Table 3 or Table 5: z -> FC 4x4x512 -> deconv 256 -> 128 -> 64 (Table 5: 128) -> 3.

    Every layer but the last is followed by batch normalization and ReLU. Table 3 ends in a sigmoid, Table 5 in
    :math:`\tanh`; images lie in [0, 1] here, so it returns :math:`(\tanh + 1) / 2`, and `ConvDiscriminator` begins with
    :math:`2x - 1`. At 32x32 the 512-channel stage is left out: FC 4x4x256 -> 128 -> 64 -> 3 (readings, row 24).
    """

    def __init__(self, preset: Preset, classes: int = 0):
        super().__init__()
        maps = [scale_width(c, preset.width) for c in GENERATOR_CHANNELS[preset.network][-STAGES[preset.image_size] :]]
        self.classes, self.maps, self.signed = classes, maps[0], preset.network == "celeba"
        self.fc = nn.Linear(preset.z_dim + classes, 16 * maps[0])
        self.norms = nn.ModuleList(nn.BatchNorm2d(c) for c in maps)
        self.ups = nn.ModuleList(Up(before, after, classes) for before, after in pairwise([*maps, preset.channels]))
        initialise(self)

    def forward(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """Noise (b, z_dim) and, if conditional, labels (b,) to images (b, c, h, w) in [0, 1]."""
        x = self.fc(concat_labels(noise, labels, self.classes)).view(-1, self.maps, 4, 4)
        for norm, up in zip(self.norms, self.ups, strict=True):
            x = up(F.relu(norm(x)), labels)
        x = to_float32(x)
        return (torch.tanh(x) + 1) / 2 if self.signed else torch.sigmoid(x)


class ConvDiscriminator(nn.Module):
    """Discriminator of Table 3 or Table 5: conv 64 -> 128 -> 256 -> 512 -> features, all with ReLU.

    Table 3 has no batch normalization after the first convolution and one more hidden layer, FC 4096 with batch
    normalization; Table 5 has batch normalization everywhere and no hidden layer (readings, rows 28 and 29). At 32x32
    the 512-channel convolution is left out. ``head``: Table 3 prints ``bn-relu``, Table 5 ``sigmoid``, both with d =
    100. ``tail``: FC 4096 as printed (``table``), without its batch normalization (``plain``), or none (``linear``).
    """

    def __init__(self, preset: Preset, classes: int = 0):
        super().__init__()
        maps = [scale_width(c, preset.width) for c in DISCRIMINATOR_CHANNELS[: STAGES[preset.image_size]]]
        self.classes, self.signed = classes, preset.network == "celeba"
        self.downs = nn.ModuleList(Down(before, after, classes) for before, after in pairwise([preset.channels, *maps]))
        first = nn.BatchNorm2d(maps[0]) if preset.network == "celeba" else nn.Identity()
        self.norms = nn.ModuleList([first, *(nn.BatchNorm2d(c) for c in maps[1:])])
        hidden = 16 * maps[-1] + classes
        self.hidden: nn.Module = nn.Identity()
        if preset.network == "cifar10" and preset.tail != "linear":
            units = scale_width(HIDDEN, preset.width)
            norm = nn.BatchNorm1d(units) if preset.tail == "table" else nn.Identity()
            self.hidden, hidden = nn.Sequential(nn.Linear(hidden, units), norm, nn.ReLU()), units
        self.head, self.feature_dim = feature_head(hidden, preset)
        initialise(self)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (b, c, h, w) in [0, 1] and, if conditional, labels (b,) to features (b, d)."""
        x = 2 * images - 1 if self.signed else images
        for norm, down in zip(self.norms, self.downs, strict=True):
            x = F.relu(norm(down(x, labels)))
        return self.head(self.hidden(concat_labels(x.flatten(1), labels, self.classes)))


NETWORKS = {  # generator and discriminator, by a preset's ``network``
    "synthetic": (SyntheticGenerator, SyntheticDiscriminator),
    "mnist": (MnistGenerator, MnistDiscriminator),
    "cifar10": (ConvGenerator, ConvDiscriminator),
    "celeba": (ConvGenerator, ConvDiscriminator),
}
