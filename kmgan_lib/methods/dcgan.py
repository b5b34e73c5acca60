"""DCGAN, the paper's baseline: with labels as in its code for MNIST, or without."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kmgan_lib.methods.base import Method, frozen
from kmgan_lib.models import initialise


class DCGAN(Method):
    r"""Deep convolutional GAN with the non-saturating objective.

    .. math:: \max_D\; E \log D(x) + E \log (1 - D(G(z))), \qquad \max_G\; E \log D(G(z))

    These are the signs of Goodfellow et al. (2014); Eqs. (1) and (2) of the paper print both flipped. The feature
    extractor is KM-GAN's discriminator, with one linear unit on top as the logit. As in carpedm20/DCGAN-tensorflow, G
    is updated ``generator_updates`` times for each update of D, with the same noise, and a conditional model feeds the
    batch's real labels to every layer of both networks.
    """

    def _build(self) -> None:
        d = int(self.discriminator_net.feature_dim)  # pyright: ignore[reportArgumentType]
        self.logit = nn.Linear(d + self.classes, 1)
        if self.preset.network != "synthetic":  # Table 2's networks start from PyTorch's own initialisation
            initialise(self.logit)

    def __init__(self, preset: Any, *, device: torch.device, seed: int):
        super().__init__(preset, device=device, seed=seed)
        self.discriminator_adam = self.adam([*self.discriminator_net.parameters(), *self.logit.parameters()])
        self.generator_adam = self.adam(self.generator_net.parameters())

    def networks(self) -> dict[str, nn.Module]:  # noqa: D102
        return {**super().networks(), "logit": self.logit}

    def optimisers(self) -> dict[str, torch.optim.Optimizer]:  # noqa: D102
        return {"discriminator": self.discriminator_adam, "generator": self.generator_adam}

    def setup(self, images: Tensor) -> None:
        """Nothing to prepare."""

    def _logits(self, images: Tensor, labels: Tensor | None) -> Tensor:
        features = self.D(images, labels)
        if self.classes:
            assert labels is not None
            features = torch.cat([features, F.one_hot(labels, self.classes).to(features.dtype)], 1)
        return self.logit(features).squeeze(1)

    def step(self, images: Tensor, labels: Tensor | None, noise: Tensor) -> dict[str, Tensor]:
        """One update of D and ``generator_updates`` of G; see `Method.step`."""
        fake = self.G(noise, labels)
        real_logits, fake_logits = self._logits(images, labels), self._logits(fake.detach(), labels)
        loss_d = F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()
        self.discriminator_adam.zero_grad(set_to_none=True)
        loss_d.backward()
        self.discriminator_adam.step()

        loss_g = torch.zeros((), device=self.device)
        for update in range(self.preset.generator_updates):
            with frozen(self.discriminator_net), frozen(self.logit):
                loss_g = F.softplus(-self._logits(fake if update == 0 else self.G(noise, labels), labels)).mean()
                self.generator_adam.zero_grad(set_to_none=True)
                loss_g.backward()
                self.generator_adam.step()
        return {
            "loss_d": loss_d.detach(), "loss_g": loss_g.detach(),
            "real_probability": real_logits.detach().sigmoid().mean(),
            "fake_probability": fake_logits.detach().sigmoid().mean(),
        }  # fmt: skip
