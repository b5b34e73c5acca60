"""Wasserstein GANs: with weight clipping (Arjovsky et al., 2017), and with a gradient penalty instead."""

from collections.abc import Iterable, Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from kmgan_lib.config import Preset, field
from kmgan_lib.distributed import all_gather, shard, world_size
from kmgan_lib.methods.base import Method, Variants, detached
from kmgan_lib.methods.parts import clip_weights, unnormalised

WARM_UP, BURST_EVERY = 25, 500


class WGAN(Method):
    r"""Wasserstein GAN: D is a critic f with one linear unit on the features, its parameters kept within ±0.01.

    .. math:: \max_{f}\; E f(x) - E f(G(z)), \qquad \max_G\; E f(G(z))

    Settings are those of martinarjovsky/WassersteinGAN, whose critic is clipped whole, biases too. G's update takes the
    noise of the critic's last one, where that code draws anew.

    The critic has the layers of DCGAN's D, without any normalisation (the code's ``--noBN``). At a fraction w of full
    width its bound is :math:`0.01 / \sqrt{w}`, so that its outputs keep their spread. ``wgan-norm`` has batch
    normalisation, the code's rate of 5e-5, and the bound ±0.01 at any width.
    """

    name = "wgan"
    short: ClassVar[Mapping[str, float]] = {"smoke": 0.02}

    class Options(Preset):
        clip: float = field(0.01, "WGAN's code", "bound on every parameter of D, at full width", gt=0)
        critic_updates: int = field(5, "WGAN's code", "updates of D for one of G", gt=0)
        burst: int = field(100, "WGAN's code", "updates of D in the first 25 iterations, and in every 500th", gt=0)

    preset: Options
    clips: ClassVar[bool] = True

    @classmethod
    def variants(cls, base: Preset) -> Variants:
        head = {"head": "penultimate"} if base.network == "mnist" else {}
        return {"wgan": unnormalised(base, norm="none"), "wgan-norm": {"learning_rate": 5e-5, **head}}

    def _build(self) -> None:
        self.critic = self.linear(self.feature_dim)

    def optimiser(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """RMSprop with the preset's rate, for a few parameters a kernel, and such that a CUDA graph can capture it."""
        cuda = self.device.type == "cuda"
        return torch.optim.RMSprop(parameters, self.preset.learning_rate, foreach=True, capturable=cuda)

    def batches_per_step(self, iteration: int) -> int:
        burst = iteration < WARM_UP or iteration % BURST_EVERY == 0
        return self.preset.burst if burst else self.preset.critic_updates

    def _critic_loss(self, images: Tensor, noise: Tensor) -> Tensor:
        with torch.no_grad():
            fake = self.G(noise)
        return self.critic(self.D(fake)).mean() - self.critic(self.D(images)).mean() + self._penalty(images, fake)

    def _penalty(self, images: Tensor, fake: Tensor) -> Tensor | float:
        return 0.0

    def _generator_loss(self, noise: Tensor) -> Tensor:
        return -self.critic(self.D(self.G(noise))).mean()

    def step(self, images: Tensor, labels: Tensor | None, noise: Tensor) -> dict[str, Tensor]:
        p, size = self.preset, self.preset.batch // world_size()
        # The spread of a layer's outputs is that of full width where its bound grows as its initial weights do.
        bound = p.clip * (p.width**-0.5 if p.initial_scale == "fan-in" else 1)
        loss_d = torch.zeros((), device=self.device)
        for x, z in zip(images.split(size), noise.split(size), strict=True):
            loss_d = self._critic_loss(x, z)
            self._update(self.discriminator_optimiser, loss_d)
            for net in (self.discriminator_net, self.critic) if self.clips else ():
                clip_weights(net, bound)
        loss_g = self._generator_loss(noise[-size:])
        self._update(self.generator_optimiser, loss_g)
        return detached(loss_d=loss_d, loss_g=loss_g)


class WGANGP(WGAN):
    r"""Wasserstein GAN whose critic f is kept 1-Lipschitz by a penalty on its gradient (Gulrajani et al., 2017).

    .. math:: L_f = E f(G(z)) - E f(x) + \lambda\, E (\|\nabla_{\tilde x} f(\tilde x)\|_2 - 1)^2 , \qquad
              \tilde x = u x + (1 - u) G(z), \quad u \sim U(0, 1)

    Settings are the original's. No row of Table 4: it stands beside WGAN, whose clipping fails at full size.
    """

    name = "wgan_gp"
    clips = False

    class Options(WGAN.Options):
        burst: int = field(5, "WGAN-GP's code", "updates of D in any iteration: no bursts", gt=0)
        penalty: float = field(10.0, "Gulrajani et al., 2017", "weight of the gradient penalty", gt=0)

    @classmethod
    def variants(cls, base: Preset) -> Variants:
        return {cls.name: unnormalised(base, norm="none", beta1=0.0, beta2=0.9)}

    optimiser = Method.optimiser

    def _penalty(self, images: Tensor, fake: Tensor) -> Tensor:
        u = shard(torch.rand(len(images) * world_size(), 1, 1, 1, generator=self.rng, device=self.device))
        between = torch.lerp(fake, images, u).requires_grad_()
        values = self.critic(self.run_net(self.discriminator_net, between))
        (slopes,) = torch.autograd.grad(values.sum(), between, create_graph=True)
        return self.preset.penalty * all_gather((slopes.flatten(1).norm(dim=1) - 1).square()).mean()
