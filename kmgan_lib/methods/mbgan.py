"""MBGAN, the metric-based GAN of Dai, Xie and Fang (2017): triplets with a data-dependent margin. A reconstruction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from kmgan_lib.distributed import gather
from kmgan_lib.methods.base import Method, frozen
from kmgan_lib.presets import Preset


def mean_distance(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference (b,) of the rows of two blocks (b, ...)."""
    return (a - b).abs().flatten(1).mean(1)


class MBGAN(Method):
    r"""Metric-based GAN: real samples near each other, generated ones farther by a margin that the data set.

    With real images x, other real images x' (the batch shifted by one) and :math:`\hat x = G(z)`,

    .. math:: L_D = d(f(x), f(x')) + [\Delta(x, \hat x) + d(f(x), f(x')) - d(f(x), f(\hat x))]_+ , \qquad
              L_G = d(f(x), f(\hat x)),

    means over the batch. d and :math:`\Delta` are mean absolute differences, of features and of pixels, so that the
    margin has a scale that features can meet.

    *Reconstruction*: the original's text could not be read. Its abstract gives the triplets, what is minimised and
    maximised, and a data-dependent margin as in the loss-sensitive GAN of Qi (2017), whose margin is an L1 distance
    of pixels; the formula, the norm and the settings (Adam as for KM-GAN) are ours. Table 4 calls MBGAN conditional;
    nothing readable says how labels enter, and here they do not. Table 4's value is 4.27.
    """

    name = "mbgan"

    @classmethod
    def variants(cls, base: Preset) -> Mapping[str, Mapping[str, Any]]:
        """One preset; on 28x28 with the features of DCGAN, which take both signs: with ReLU nothing is learned."""
        if base.network == "synthetic":
            return {}
        return {cls.name: {"head": "penultimate"} if base.network == "mnist" else {}}

    def __init__(self, preset: Preset, *, device: torch.device, seed: int):
        super().__init__(preset, device=device, seed=seed)
        self.discriminator_adam = self.adam(self.discriminator_net.parameters())
        self.generator_adam = self.adam(self.generator_net.parameters())

    def optimisers(self) -> dict[str, torch.optim.Optimizer]:  # noqa: D102
        return {"discriminator": self.discriminator_adam, "generator": self.generator_adam}

    def step(self, images: Tensor, labels: Tensor | None, noise: Tensor) -> dict[str, Tensor]:
        """One update of D and of G; see `Method.step`."""
        fake = self.G(noise)
        f, g = self.D(images), self.D(fake.detach())
        real_distance, fake_distance = mean_distance(f, f.roll(1, 0)), mean_distance(f, g)
        margin = gather(mean_distance(images, fake.detach()))
        violation = F.relu(margin + real_distance - fake_distance)
        loss_d = (real_distance + violation).mean()
        self._update(self.discriminator_adam, loss_d)

        with frozen(self.discriminator_net):
            with torch.no_grad():
                f = self.D(images)
            loss_g = mean_distance(f, self.D(fake)).mean()
            self._update(self.generator_adam, loss_g)
        return {"loss_d": loss_d.detach(), "loss_g": loss_g.detach(), "violation": violation.detach().mean()}
