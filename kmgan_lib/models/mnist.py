"""The networks of the MNIST DCGAN, which KM-GAN shares on MNIST and Fashion-10 (Section 4.2)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kmgan_lib.models.layers import Down, Up, concat_labels, feature_head, initialise, scale_width, to_float32


class MnistGenerator(nn.Module):
    """The generator of the MNIST DCGAN: z -> FC 1024 -> FC 7x7x128 -> deconv 128 -> deconv c, sigmoid.

    Source: carpedm20/DCGAN-tensorflow, ``model.py``. The side length ``image_size`` in pixels is a multiple of 4; 1 is
    the original ``width``; the one-hot label of so many ``classes`` joins every layer's input (conditional DCGAN).
    """

    def __init__(
        self, *, z_dim: int = 100, channels: int = 1, image_size: int = 28, width: float = 1.0, classes: int = 0
    ):
        super().__init__()
        hidden, maps = scale_width(1024, width), scale_width(128, width)
        self.classes, self.maps, self.side = classes, maps, image_size // 4
        self.fc1 = nn.Linear(z_dim + classes, hidden)
        self.bn1 = nn.BatchNorm1d(hidden)
        self.fc2 = nn.Linear(hidden + classes, maps * self.side**2)
        self.bn2 = nn.BatchNorm1d(maps * self.side**2)
        self.up1 = Up(maps, maps, classes)
        self.bn3 = nn.BatchNorm2d(maps)
        self.up2 = Up(maps, channels, classes)
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

    LeakyReLU with slope 0.2. Source: carpedm20/DCGAN-tensorflow, ``model.py``; readings, rows 12 and 13.

    For ``head`` and ``feature_dim`` see `kmgan_lib.models.layers.feature_head`. Of the two ``conv_channels`` carpedm20
    has c_dim + y_dim = 11 and df_dim + y_dim = 74, numbers that only make sense with ten labels at hand. ``tail``, what
    follows the convolutions: FC 1024 with batch normalisation (``table``) or without it (``plain``), or nothing
    (``linear``), so that the flattened maps are the units that the head gets.
    """

    def __init__(
        self, *, head: str = "bn-relu", feature_dim: int = 100, conv_channels: tuple[int, int] = (11, 74),
        tail: str = "table", channels: int = 1, image_size: int = 28, width: float = 1.0, classes: int = 0,
    ):  # fmt: skip
        super().__init__()
        first, second, hidden = (scale_width(n, width) for n in (*conv_channels, 1024))
        self.classes = classes
        self.conv1 = Down(channels, first, classes)
        self.conv2 = Down(first, second, classes)
        self.bn2 = nn.BatchNorm2d(second)
        units = second * (image_size // 4) ** 2 + classes
        self.fc, self.bn3, self.act = nn.Identity(), nn.Identity(), nn.Identity()
        if tail == "linear":
            hidden = units
        else:
            self.fc, self.act = nn.Linear(units, hidden), nn.LeakyReLU(0.2)
        if tail == "table":
            self.bn3 = nn.BatchNorm1d(hidden)
        self.head = feature_head(hidden, head, feature_dim)
        self.feature_dim = hidden if head == "penultimate" else feature_dim
        initialise(self)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (b, c, h, w) and, if conditional, labels (b,) to features (b, d)."""
        x = F.leaky_relu(self.conv1(images, labels), 0.2)
        x = F.leaky_relu(self.bn2(self.conv2(x, labels)), 0.2)
        return self.head(self.act(self.bn3(self.fc(concat_labels(x.flatten(1), labels, self.classes)))))
