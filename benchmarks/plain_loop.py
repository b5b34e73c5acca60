"""DCGAN as a plain PyTorch loop, the yardstick of `kmgan bench`.

Written like the public examples: standard modules, eager, float32, a DataLoader that turns one picture after the
other into a tensor, PyTorch's Adam, and two losses read with ``.item()`` in every iteration. It does the same work as
the library's DCGAN presets, update for update, on networks of the same size, and shares no code with them.

    python benchmarks/plain_loop.py --network mnist --iterations 20
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset


@dataclass(frozen=True)
class Settings:
    """What the loop trains; the defaults are DCGAN with labels on MNIST."""

    network: str = "mnist"
    classes: int = 10
    channels: int = 1
    image_size: int = 28
    generator_maps: tuple[int, ...] = (128, 128)
    discriminator_maps: tuple[int, ...] = (11, 74)
    hidden: int = 1024
    feature_dim: int = 0
    z_dim: int = 100
    batch: int = 64
    generator_updates: int = 2
    learning_rate: float = 2e-4


class ImageSet(Dataset):
    """Images in memory as arrays; each is turned into a float tensor on request."""

    def __init__(self, images: np.ndarray, labels: np.ndarray):
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return torch.from_numpy(self.images[index]).float().div(255), int(self.labels[index])


def with_label(x: Tensor, label: Tensor | None) -> Tensor:
    """Append a one-hot label to vectors, or as constant maps to feature maps."""
    if label is None:
        return x
    if x.ndim == 2:
        return torch.cat([x, label], 1)
    return torch.cat([x, label[:, :, None, None].expand(-1, -1, x.shape[2], x.shape[3])], 1)


def up(before: int, after: int) -> nn.ConvTranspose2d:
    """Double the side length."""
    return nn.ConvTranspose2d(before, after, 5, stride=2, padding=2, output_padding=1)


def down(before: int, after: int) -> nn.Conv2d:
    """Halve the side length."""
    return nn.Conv2d(before, after, 5, stride=2, padding=2)


def initialise(layer: nn.Module) -> None:
    """Weights N(0, 0.02), biases 0, as DCGAN has them."""
    if isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(layer.weight, std=0.02)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


class Generator(nn.Module):
    """Noise to images: for MNIST with two fully connected layers, else with one."""

    def __init__(self, s: Settings):
        super().__init__()
        c, maps = s.classes, s.generator_maps
        self.maps, self.side = maps[0], s.image_size // 2 ** len(maps)
        units = maps[0] * self.side**2
        if s.network == "mnist":
            self.dense = nn.ModuleList([nn.Linear(s.z_dim + c, s.hidden), nn.Linear(s.hidden + c, units)])
            self.dense_norms = nn.ModuleList([nn.BatchNorm1d(s.hidden), nn.BatchNorm1d(units)])
        else:
            self.dense = nn.ModuleList([nn.Linear(s.z_dim + c, units)])
            self.dense_norms = nn.ModuleList([nn.Identity()])
        outputs = [*maps[1:], s.channels]
        self.ups = nn.ModuleList(up(a + c, b) for a, b in zip(maps, outputs, strict=True))
        first = nn.Identity() if s.network == "mnist" else nn.BatchNorm2d(maps[0])
        self.norms = nn.ModuleList([first, *(nn.BatchNorm2d(m) for m in maps[1:])])

    def forward(self, x: Tensor, label: Tensor | None) -> Tensor:
        """Noise (b, z_dim) to images in [0, 1]."""
        for layer, norm in zip(self.dense, self.dense_norms, strict=True):
            x = norm(layer(with_label(x, label)))
            x = x if isinstance(norm, nn.Identity) else torch.relu(x)
        x = x.view(len(x), self.maps, self.side, self.side)
        for norm, layer in zip(self.norms, self.ups, strict=True):
            x = norm(x) if isinstance(norm, nn.Identity) else torch.relu(norm(x))
            x = layer(with_label(x, label))
        return torch.sigmoid(x)


class Discriminator(nn.Module):
    """Images to one logit. The first convolution is not normalized."""

    def __init__(self, s: Settings):
        super().__init__()
        c, maps = s.classes, s.discriminator_maps
        self.slope = 0.2 if s.network == "mnist" else 0.0
        inputs = [s.channels, *maps[:-1]]
        self.downs = nn.ModuleList(down(a + c, b) for a, b in zip(inputs, maps, strict=True))
        self.norms = nn.ModuleList([nn.Identity(), *(nn.BatchNorm2d(m) for m in maps[1:])])
        units = maps[-1] * (s.image_size // 2 ** len(maps)) ** 2
        self.hidden, self.hidden_norm = nn.Linear(units + c, s.hidden), nn.BatchNorm1d(s.hidden)
        self.features: nn.Module = nn.Identity()
        if s.feature_dim:
            self.features = nn.Sequential(
                nn.Linear(s.hidden + c, s.feature_dim), nn.BatchNorm1d(s.feature_dim), nn.ReLU()
            )
        self.logit = nn.Linear((s.feature_dim or s.hidden) + c, 1)

    def forward(self, x: Tensor, label: Tensor | None) -> Tensor:
        """Images (b, c, h, w) to logits (b,)."""
        for layer, norm in zip(self.downs, self.norms, strict=True):
            x = nn.functional.leaky_relu(norm(layer(with_label(x, label))), self.slope)
        x = self.hidden_norm(self.hidden(with_label(x.flatten(1), label)))
        x = nn.functional.leaky_relu(x, self.slope)
        return self.logit(with_label(self.features(x), label)).squeeze(1)


class PlainLoop:
    """The networks, their optimizers and one iteration.

    Parameters
    ----------
    settings : Settings
    images : array, (n, c, h, w) uint8
    labels : array, (n,)
    workers : int
        Processes that load batches.
    """

    def __init__(self, settings: Settings, images: np.ndarray, labels: np.ndarray, *, workers: int = 0):
        self.settings, s = settings, settings
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.G, self.D = Generator(s).to(self.device), Discriminator(s).to(self.device)
        self.G.apply(initialise)
        self.D.apply(initialise)
        self.adam_g = torch.optim.Adam(self.G.parameters(), lr=s.learning_rate, betas=(0.5, 0.999))
        self.adam_d = torch.optim.Adam(self.D.parameters(), lr=s.learning_rate, betas=(0.5, 0.999))
        self.criterion = nn.BCEWithLogitsLoss()
        self.loader = DataLoader(
            ImageSet(images, labels), batch_size=s.batch, shuffle=True, drop_last=True, num_workers=workers
        )
        self._batches: Iterator[list[Tensor]] = iter(())

    def _next(self) -> Sequence[Tensor]:
        try:
            return next(self._batches)
        except StopIteration:
            self._batches = iter(self.loader)
            return next(self._batches)

    def iterate(self) -> tuple[float, float]:
        """One update of D and ``generator_updates`` of G on the next batch; returns both losses."""
        s = self.settings
        images, classes = (part.to(self.device) for part in self._next())
        noise = torch.rand(len(images), s.z_dim, device=self.device) * 2 - 1
        return self.step(images, classes, noise)

    def step(self, images: Tensor, classes: Tensor, noise: Tensor) -> tuple[float, float]:
        """One iteration on a given batch."""
        s = self.settings
        label = nn.functional.one_hot(classes, s.classes).float() if s.classes else None
        ones, zeros = torch.ones(len(images), device=self.device), torch.zeros(len(images), device=self.device)

        self.D.zero_grad()
        real_error = self.criterion(self.D(images, label), ones)
        real_error.backward()
        fake = self.G(noise, label)
        fake_error = self.criterion(self.D(fake.detach(), label), zeros)
        fake_error.backward()
        self.adam_d.step()

        error = torch.zeros(())
        for update in range(s.generator_updates):
            self.G.zero_grad()
            fake = fake if update == 0 else self.G(noise, label)
            error = self.criterion(self.D(fake, label), ones)
            error.backward()
            self.adam_g.step()
        return real_error.item() + fake_error.item(), error.item()


CIFAR10_32 = Settings(
    network="cifar10", classes=0, channels=3, image_size=32, generator_maps=(256, 128, 64),
    discriminator_maps=(64, 128, 256), hidden=4096, feature_dim=100,
)  # fmt: skip
CIFAR10_64 = Settings(
    network="cifar10", classes=0, channels=3, image_size=64, generator_maps=(512, 256, 128, 64),
    discriminator_maps=(64, 128, 256, 512), hidden=4096, feature_dim=100,
)  # fmt: skip
SETTINGS = {"mnist": Settings(), "cifar10-32": CIFAR10_32, "cifar10": CIFAR10_64}


def main() -> None:
    """Time a few iterations on random images."""
    parser = argparse.ArgumentParser(description="Images per second of a plain DCGAN loop.")
    parser.add_argument("--network", choices=list(SETTINGS), default="mnist")
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--workers", type=int, default=0)
    options = parser.parse_args()
    s, random = SETTINGS[options.network], np.random.default_rng(0)
    images = random.integers(0, 256, (2_000, s.channels, s.image_size, s.image_size)).astype(np.uint8)
    loop = PlainLoop(s, images, random.integers(0, 10, len(images)), workers=options.workers)
    loss_d, loss_g = loop.iterate()
    begun = time.perf_counter()
    for _ in range(options.iterations):
        loss_d, loss_g = loop.iterate()
    seconds = time.perf_counter() - begun
    print(f"{options.iterations * s.batch / seconds:.1f} images/s, loss_d {loss_d:.4f}, loss_g {loss_g:.4f}")


if __name__ == "__main__":
    main()
