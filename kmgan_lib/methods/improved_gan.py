"""Improved GAN without labels: feature matching and minibatch discrimination (Salimans et al., 2016)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kmgan_lib.fields import field
from kmgan_lib.methods.base import Method, frozen
from kmgan_lib.methods.parts import feature_dim, linear, weight_normalised
from kmgan_lib.presets import Options, Preset


@dataclass(frozen=True)
class ImprovedGANOptions(Options):
    """What only Improved GAN has."""

    kernels: int = field(100, "Improved GAN's code", "closeness values a sample gets from its batch", above=0)
    kernel_dim: int = field(5, "Improved GAN's code", "dimensions in which each closeness is measured", above=0)


class MinibatchDiscrimination(nn.Module):
    r"""How close each sample is to the others of its batch (Salimans et al., 2016, Section 3.2).

    .. math:: M_i = f_i T, \qquad o_{i,r} = \frac{1}{b - 1} \sum_{j \ne i} \exp(-\|M_{i,r} - M_{j,r}\|_1)

    The mean stands for the original's sum (ours), so that closeness has the scale of features.

    Parameters
    ----------
    features : int
        d.
    kernels, kernel_dim : int
        Range of r, and length of each row :math:`M_{i,r}`.
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


class ImprovedGAN(Method):
    r"""Improved GAN, unlabelled: D with minibatch discrimination, G with feature matching.

    .. math:: \max_D\; E \log D(x) + E \log (1 - D(G(z))), \qquad
              \min_G\; \frac{1}{d'} \big\| \overline{h(x)} - \overline{h(G(z))} \big\|_1

    where h are the features with the closeness values of `MinibatchDiscrimination` behind them, that is, D without its
    last unit, and the bar is the mean over the batch. Table 4's 4.36 is the ablation "-L" of Salimans et al.: their
    model without labels, which this is in the paper's networks. Their 8.09 needs labels.

    D has weight normalisation in the place of batch normalisation, as in the original code: batch normalisation of
    each batch for itself would give both the same mean features whatever G does. From there also come Adam with rate
    3e-4, 100 kernels of 5 dimensions and the mean absolute difference; its noise on images, dropout and
    data-dependent initialisation are left out. Matching h instead of f alone lets G feel both techniques (ours), which
    the original uses in separate programs.
    """

    name = "improved_gan"
    Options = ImprovedGANOptions
    options: ImprovedGANOptions

    @classmethod
    def variants(cls, base: Preset) -> Mapping[str, Mapping[str, Any]]:
        """One preset, with the code's own rate and, on 28x28, the features of DCGAN."""
        if base.network == "synthetic":
            return {}
        head = {"head": "penultimate"} if base.network == "mnist" else {}
        return {cls.name: {"learning_rate": 3e-4, **head}}

    @classmethod
    def make_discriminator(cls, preset: Preset) -> nn.Module:
        """The preset's network with weights normalised instead of batches."""
        return weight_normalised(super().make_discriminator(preset))

    def __init__(self, preset: Preset, *, device: torch.device, seed: int):
        super().__init__(preset, device=device, seed=seed)
        extra = [*self.minibatch.parameters(), *self.logit.parameters()]
        self.discriminator_adam = self.adam([*self.discriminator_net.parameters(), *extra])
        self.generator_adam = self.adam(self.generator_net.parameters())

    def _build(self) -> None:
        o, d = self.options, feature_dim(self.discriminator_net)
        self.minibatch = MinibatchDiscrimination(d, o.kernels, o.kernel_dim)
        self.logit = linear(d + o.kernels)

    def networks(self) -> dict[str, nn.Module]:  # noqa: D102
        return {**super().networks(), "minibatch": self.minibatch, "logit": self.logit}

    def optimisers(self) -> dict[str, torch.optim.Optimizer]:  # noqa: D102
        return {"discriminator": self.discriminator_adam, "generator": self.generator_adam}

    def _hidden(self, images: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """D without its last unit, for the real and for the generated batch."""
        return self.minibatch(self.D(images)), self.minibatch(self.D(fake))

    def step(self, images: Tensor, labels: Tensor | None, noise: Tensor) -> dict[str, Tensor]:
        """One update of D and of G; see `Method.step`."""
        fake = self.G(noise)
        real_logits, fake_logits = (self.logit(h).squeeze(1) for h in self._hidden(images, fake.detach()))
        loss_d = F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()
        self._update(self.discriminator_adam, loss_d)

        with frozen(self.discriminator_net), frozen(self.minibatch):
            real, generated = self._hidden(images, fake)
            loss_g = (real.mean(0).detach() - generated.mean(0)).abs().mean()
            self._update(self.generator_adam, loss_g)
        return {
            "loss_d": loss_d.detach(), "loss_g": loss_g.detach(),
            "real_probability": real_logits.detach().sigmoid().mean(),
            "fake_probability": fake_logits.detach().sigmoid().mean(),
        }  # fmt: skip
