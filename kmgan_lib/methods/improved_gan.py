"""Improved GAN without labels: feature matching and minibatch discrimination (Salimans et al., 2016)."""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from kmgan_lib.config import Preset, field
from kmgan_lib.distributed import shard, world_size
from kmgan_lib.methods.base import Variants
from kmgan_lib.methods.dcgan import DCGAN
from kmgan_lib.methods.parts import WeightNormalised


class MinibatchDiscrimination(nn.Module):
    r"""How close each sample is to the others of its batch (Salimans et al., 2016, Section 3.2).

    .. math:: M_i = f_i T, \qquad o_{i,r} = \frac{1}{b - 1} \sum_{j \ne i} \exp(-\|M_{i,r} - M_{j,r}\|_1)

    The mean replaces the original's sum (ours). ``features`` is d, ``kernels`` the number of values of r,
    ``kernel_dim`` the length of each row :math:`M_{i,r}`.
    """

    def __init__(self, features: int, kernels: int, kernel_dim: int):
        super().__init__()
        self.kernels = kernels
        self.tensor = nn.Parameter(torch.randn(features, kernels * kernel_dim) * 0.05)

    def forward(self, features: Tensor) -> Tensor:
        """Features (b, d) to features and closeness (b, d + kernels)."""
        rows = (features @ self.tensor).view(len(features), self.kernels, -1).transpose(0, 1)
        total = torch.exp(-torch.cdist(rows, rows, p=1)).sum(2).T
        closeness = (total - 1) / (len(features) - 1)  # without the sample itself, which is at distance 0
        return torch.cat([features, closeness], 1)


class ImprovedGAN(WeightNormalised, DCGAN):
    r"""Improved GAN, unlabeled: D with minibatch discrimination, and the objectives of `DCGAN`.

    Table 4's 4.36 is the ablation "-L" of Salimans et al., their model without labels. From their code come weight
    normalization, noise and dropout in D, gains and biases set from a first batch, and three updates of G per update of
    D. ``improved_gan-matching`` has only the kernels, and feature matching,

    .. math:: \min_G\; \frac{1}{d'} \big\| \overline{h(x)} - \overline{h(G(z))} \big\|_1

    where h are the features and closeness values, and the bar is the mean over the batch.
    """

    name = "improved_gan"
    on_points = labelled = False

    class Options(DCGAN.Options):
        kernels: int = field(100, "Improved GAN's code", "closeness values a sample gets from its batch", gt=0)
        kernel_dim: int = field(5, "Improved GAN's code", "dimensions in which each closeness is measured", gt=0)
        objective: Literal["matching", "logarithm"] = field(
            "matching", "Improved GAN's code", "of G: feature matching, or the logarithm as in DCGAN", later=True
        )
        generator_updates: int = field(1, "Improved GAN's code", "updates of G per update of D", gt=0, later=True)
        noise: float = field(0.0, "Improved GAN's code", "deviation of the noise on D's images", ge=0, later=True)
        dropout: float = field(0.0, "Improved GAN's code", "share of D's units dropped", ge=0, lt=1, later=True)
        initialise_by_data: bool = field(False, "Improved GAN's code", "set D's gains from a batch", later=True)

    @classmethod
    def variants(cls, base: Preset) -> Variants:
        program: dict[str, Any] = {
            "tail": "plain", "head": "penultimate", "objective": "logarithm", "generator_updates": 3, "noise": 0.2,
            "dropout": 0.5, "initialise_by_data": True,
        }  # fmt: skip
        head = {"head": "penultimate"} if base.network == "mnist" else {}
        return {"improved_gan": program, "improved_gan-matching": {"learning_rate": 3e-4, **head}}

    def _build(self) -> None:
        p, d = self.preset, self.feature_dim
        self.minibatch = MinibatchDiscrimination(d, p.kernels, p.kernel_dim)
        self.logit = self.linear(d + p.kernels)

    def _hidden(self, images: Tensor) -> Tensor:
        """Features and closeness values of the whole batch, with noise added to the images."""
        if self.preset.noise:
            shape = (len(images) * world_size(), *images.shape[1:])
            noise = shard(torch.randn(shape, generator=self.rng, device=self.device))
            images = images + self.preset.noise * noise
        return self.minibatch(self.D(images))

    def _logits(self, images: Tensor, labels: Tensor | None) -> Tensor:
        return self.logit(self._hidden(images)).squeeze(1)

    def _generator_loss(self, images: Tensor, fake: Tensor, labels: Tensor | None) -> Tensor:
        if self.preset.objective == "logarithm":
            return super()._generator_loss(images, fake, labels)
        real, generated = self._hidden(images), self._hidden(fake)
        return (real.mean(0).detach() - generated.mean(0)).abs().mean()
