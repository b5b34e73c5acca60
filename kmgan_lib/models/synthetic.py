"""The networks of Table 2, for the synthetic points."""

from itertools import pairwise

from torch import Tensor, nn

from kmgan_lib.models.layers import scale_width


def _dense(sizes: list[int]) -> list[nn.Module]:
    """FC, ReLU, BN for each pair of sizes: Table 2 prints "ReLU BN", in this order (readings, row 29)."""
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU(), nn.BatchNorm1d(after)]
    return layers


class SyntheticGenerator(nn.Module):
    """Generator of Table 2: FC 10, 50, 100, each followed by ReLU and batch normalisation, the last one too."""

    def __init__(self, *, z_dim: int = 100, width: float = 1.0):
        super().__init__()
        self.classes = 0
        self.layers = nn.Sequential(*_dense([z_dim, scale_width(10, width), scale_width(50, width), 100]))

    def forward(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """Noise (b, z_dim) to points (b, 100)."""
        return self.layers(noise)


class SyntheticDiscriminator(nn.Module):
    """Discriminator of Table 2: FC 100, 50, 10 with ReLU and batch normalisation, FC 2, sigmoid, at any width."""

    def __init__(self, *, width: float = 1.0):
        super().__init__()
        self.classes, self.feature_dim = 0, 2
        hidden = [scale_width(n, width) for n in (100, 50, 10)]
        self.layers = nn.Sequential(*_dense([100, *hidden]), nn.Linear(hidden[-1], 2), nn.Sigmoid())

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Points (b, 100) to features (b, 2) in (0, 1)."""
        return self.layers(images)
