"""The networks of Table 3 (CIFAR-10) and Table 5 (CelebA), at 64x64 as printed or at 32x32 with one stage fewer."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kmgan_lib import checks
from kmgan_lib.models.layers import Down, Up, concat_labels, feature_head, initialise, scale_width, to_float32

# Channels of G's up-convolutions from 4x4 on; the first number is the FC layer's. A smaller picture drops the front.
GENERATOR_CHANNELS = {"cifar10": (512, 256, 128, 64), "celeba": (512, 256, 128, 128)}
# Channels of D's convolutions, the same in both tables. A smaller picture drops the end.
DISCRIMINATOR_CHANNELS = (64, 128, 256, 512)
HIDDEN = 4096  # the FC layer that Table 3 has and Table 5 has not


def _stages(table: str, image_size: int) -> int:
    """Number of stages between the picture and 4x4: four at 64x64, three at 32x32."""
    checks.one_of(GENERATOR_CHANNELS, table=table)
    if image_size not in (32, 64):
        raise ValueError(f"image_size is {image_size}; it must be 64 or 32")
    return 4 if image_size == 64 else 3


class ConvGenerator(nn.Module):
    r"""Generator of Table 3 or Table 5: z -> FC 4x4x512 -> deconv 256 -> 128 -> 64 (Table 5: 128) -> 3.

    Every layer but the last is followed by batch normalisation and ReLU. Table 3 ends in a sigmoid. Table 5 ends in
    :math:`\tanh`, that is in pictures between -1 and 1; everywhere else in this library pictures lie in [0, 1], so the
    forward pass returns :math:`(\tanh + 1) / 2`, and `ConvDiscriminator` begins with :math:`2x - 1`. No other place
    knows of the second range. 5,135,363 parameters for Table 3 and 5,345,155 for Table 5; batch normalisation after FC
    4x4x512 is over 512 maps. At 32x32 the 512-channel stage is left out: FC 4x4x256 -> 128 -> 64 -> 3 (readings, row
    24). ``width`` and ``classes`` as in `kmgan_lib.models.mnist.MnistGenerator`.
    """

    def __init__(
        self, table: str, *, z_dim: int = 100, channels: int = 3, image_size: int = 64, width: float = 1.0,
        classes: int = 0,
    ):  # fmt: skip
        super().__init__()
        stages = _stages(table, image_size)
        maps = [scale_width(c, width) for c in GENERATOR_CHANNELS[table][-stages:]]
        self.classes, self.maps, self.signed = classes, maps[0], table == "celeba"
        self.fc = nn.Linear(z_dim + classes, 16 * maps[0])
        self.norms = nn.ModuleList(nn.BatchNorm2d(c) for c in maps)
        self.ups = nn.ModuleList(Up(before, after, classes) for before, after in pairwise([*maps, channels]))
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

    Table 3 has no batch normalisation after the first convolution and one more hidden layer, FC 4096 with batch
    normalisation; Table 5 has batch normalisation everywhere and no hidden layer (readings, rows 28 and 29). 38,284,972
    parameters for Table 3, of which FC 4096 has 33,558,528, and 5,127,780 for Table 5. At 32x32 the 512-channel
    convolution is left out. For ``head`` see `kmgan_lib.models.layers.feature_head`; Table 3 prints ``bn-relu``, Table
    5 ``sigmoid``, both with d = 100. ``tail``: FC 4096 as printed (``table``), without its batch normalisation
    (``plain``), or none (``linear``): the head gets the flattened maps.
    """

    def __init__(
        self, table: str, *, head: str = "bn-relu", feature_dim: int = 100, channels: int = 3, image_size: int = 64,
        width: float = 1.0, classes: int = 0, tail: str = "table",
    ):  # fmt: skip
        super().__init__()
        maps = [scale_width(c, width) for c in DISCRIMINATOR_CHANNELS[: _stages(table, image_size)]]
        self.classes, self.signed = classes, table == "celeba"
        self.downs = nn.ModuleList(Down(before, after, classes) for before, after in pairwise([channels, *maps]))
        first = nn.BatchNorm2d(maps[0]) if table == "celeba" else nn.Identity()
        self.norms = nn.ModuleList([first, *(nn.BatchNorm2d(c) for c in maps[1:])])
        hidden = 16 * maps[-1] + classes
        self.hidden: nn.Module = nn.Identity()
        if table == "cifar10" and tail != "linear":
            units = scale_width(HIDDEN, width)
            norm = nn.BatchNorm1d(units) if tail == "table" else nn.Identity()
            self.hidden, hidden = nn.Sequential(nn.Linear(hidden, units), norm, nn.ReLU()), units
        self.head = feature_head(hidden, head, feature_dim)
        self.feature_dim = hidden if head == "penultimate" else feature_dim
        initialise(self)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (b, c, h, w) in [0, 1] and, if conditional, labels (b,) to features (b, d)."""
        x = 2 * images - 1 if self.signed else images
        for norm, down in zip(self.norms, self.downs, strict=True):
            x = F.relu(norm(down(x, labels)))
        return self.head(self.hidden(concat_labels(x.flatten(1), labels, self.classes)))
