"""Wasserstein GAN with a gradient penalty in the place of weight clipping (Gulrajani et al., 2017)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from kmgan_lib.config import Preset
from kmgan_lib.distributed import all_gather, shard, world_size
from kmgan_lib.fields import field
from kmgan_lib.methods.parts import unnormalised
from kmgan_lib.methods.wgan import WGAN, WGANOptions


@dataclass(frozen=True)
class WGANGPOptions(WGANOptions):
    """What only WGAN-GP has."""

    burst: int = field(5, "WGAN-GP's code", "updates of D in any iteration: no bursts", above=0)
    penalty: float = field(10.0, "Gulrajani et al., 2017", "weight of the gradient penalty", above=0)


class WGANGP(WGAN):
    r"""Wasserstein GAN whose critic f is kept 1-Lipschitz by a penalty on its gradient.

    .. math:: L_f = E f(G(z)) - E f(x) + \lambda\, E (\|\nabla_{\tilde x} f(\tilde x)\|_2 - 1)^2 , \qquad
              \tilde x = u x + (1 - u) G(z), \quad u \sim U(0, 1)

    Adam with :math:`\beta = (0, 0.9)` and five updates of the critic for one of G, as in the original. No row of Table
    4: it stands beside WGAN, whose clipping is known to fail at full size too.
    """

    name = "wgan_gp"
    Options = WGANGPOptions
    short = MappingProxyType({"smoke": 0.02})
    options: WGANGPOptions  # pyright: ignore[reportIncompatibleVariableOverride]

    @classmethod
    def variants(cls, base: Preset) -> Mapping[str, Mapping[str, Any]]:
        """One preset, on the critic of `WGAN`."""
        return {cls.name: {**unnormalised(base), "norm": "none", "beta1": 0.0, "beta2": 0.9}}

    def optimiser(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Adam with the preset's settings."""
        return self.adam(parameters)

    def _critic_loss(self, images: Tensor, noise: Tensor) -> Tensor:
        with torch.no_grad():
            fake = self.G(noise)
        loss = self.critic(self.D(fake)).mean() - self.critic(self.D(images)).mean()
        return loss + self.options.penalty * self._penalty(images, fake)

    def _penalty(self, images: Tensor, fake: Tensor) -> Tensor:
        u = shard(torch.rand(len(images) * world_size(), 1, 1, 1, generator=self.rng, device=self.device))
        between = torch.lerp(fake, images, u).requires_grad_()
        values = self.critic(self.run_net(self.discriminator_net, between))
        (slopes,) = torch.autograd.grad(values.sum(), between, create_graph=True)
        return all_gather((slopes.flatten(1).norm(dim=1) - 1).square()).mean()

    def _constrain(self) -> None:
        return
