"""Wasserstein GANs: with weight clipping (Arjovsky et al., 2017), with a gradient penalty instead, and in mixtures."""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from kmgan_lib.config import Preset, field
from kmgan_lib.distributed import all_gather, shard, world_size
from kmgan_lib.errors import UsageError
from kmgan_lib.methods.base import Method, Variants, detached
from kmgan_lib.methods.parts import clip_weights, unnormalised
from kmgan_lib.models import build_discriminator, build_generator

WARM_UP, BURST_EVERY = 25, 500


class WGAN(Method):
    r"""Wasserstein GAN: D is a critic f with one linear unit on the features, its parameters kept within ±0.01.

    .. math:: \max_{f}\; E f(x) - E f(G(z)), \qquad \max_G\; E f(G(z))

    Settings are those of martinarjovsky/WassersteinGAN, which clips the whole critic, biases too. G's update reuses the
    noise of the critic's last update, where that code draws new noise.

    The critic has the layers of DCGAN's D, without any normalization (the code's ``--noBN``). At a fraction w of full
    width its bound is :math:`0.01 / \sqrt{w}`, so that its outputs keep their spread. ``wgan-norm`` has batch
    normalization, the code's learning rate of 5e-5, and the bound ±0.01 at any width.
    """

    name = "wgan"
    short: ClassVar[Mapping[str, float]] = {"smoke": 0.02}
    clips: ClassVar[bool] = True

    class Options(Preset):
        clip: float = field(0.01, "WGAN's code", "bound on every parameter of D, at full width", gt=0)
        critic_updates: int = field(5, "WGAN's code", "updates of D per update of G", gt=0)
        burst: int = field(100, "WGAN's code", "updates of D in the first 25 iterations, and in every 500th", gt=0)

    @classmethod
    def variants(cls, base: Preset) -> Variants:
        head = {"head": "penultimate"} if base.network == "mnist" else {}
        return {"wgan": unnormalised(base, norm="none"), "wgan-norm": {"learning_rate": 5e-5, **head}}

    def _build(self) -> None:
        self.critic = self.linear(self.feature_dim)

    def optimiser(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """RMSprop with the preset's learning rate, several parameters per kernel, and capturable by a CUDA graph."""
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
        # A layer's outputs spread as at full width if its bound is scaled like its initial weights.
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

    Settings are the original's. It is not in Table 4; it is shown beside WGAN, whose clipping fails at full size.
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


class MixtureGenerator(nn.Module):
    r"""Generators :math:`G_1 \dots G_n` and the probabilities with which samples are drawn from them.

    The first number of the noise picks the generator, the others are its noise: with :math:`u \in (0, 1)` the value of
    :math:`z_1` under its distribution function, the first i with :math:`u \le w_1 + \dots + w_i` is picked.
    """

    def __init__(self, components: list[nn.Module], *, normal: bool):
        super().__init__()
        self.components, self.normal = nn.ModuleList(components), normal
        self.logits = nn.Parameter(torch.zeros(len(components)))

    def pick(self, noise: Tensor) -> Tensor:
        """Index (b,) of the generator that each row of noise picks."""
        first = noise[:, 0].float()
        u = torch.special.ndtr(first) if self.normal else (first + 1) / 2
        return (u.unsqueeze(1) > self.logits.softmax(0).cumsum(0)[:-1]).sum(1)

    def forward(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """Noise (b, z_dim) to images (b, c, h, w) of the mixture."""
        images = torch.stack([net(noise[:, 1:]) for net in self.components])
        return images[self.pick(noise), torch.arange(len(noise), device=noise.device)]


class MixtureDiscriminator(nn.Module):
    """Feature extractors side by side: images (b, c, h, w) to features (b, n * d)."""

    def __init__(self, components: list[Any]):
        super().__init__()
        self.components = nn.ModuleList(components)
        self.feature_dim = sum(net.feature_dim for net in components)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return torch.cat([net(images) for net in self.components], 1)


class MixWGAN(WGAN):
    r"""MIX+WGAN: n generators against n critics, each pair playing WGAN's game with learned probabilities.

    With :math:`F_{ij} = E f_j(x) - E f_j(G_i(z))` and mixture weights :math:`w = \mathrm{softmax}(\alpha)` for
    generators, :math:`v` for critics,

    .. math:: \max_{f, v} \min_{G, w}\; \sum_{ij} w_i v_j F_{ij}, \qquad
              R(w) = -\frac{1}{n} \sum_i \log w_i ,

    where each side also minimizes :math:`0.1\,R` of its own weights (Arora et al., 2017, Section 6).

    *Reconstruction*: Table 4's 4.04 is from that paper, whose released code (PrincetonML/MIX-plus-GANs) is the
    label-conditional MIX+DCGAN only. The regularizer comes from it; all else is WGAN's, without bursts. The presets
    have 2 + 2 members where that code has 5 + 5. Mixture weights are not clipped.
    """

    name = "mix_wgan"

    class Options(WGAN.Options):
        burst: int = field(5, "ours", "updates of D in the first 25 iterations, and in every 500th: as in all", gt=0)
        components: int = field(5, "MIX+GAN's code", "number of generators, and of critics", gt=0)
        entropy: float = field(0.1, "MIX+GAN's code", "weight of the regularizer of the mixture weights", ge=0)

    generator_net: MixtureGenerator  # pyright: ignore[reportIncompatibleVariableOverride]

    @classmethod
    def variants(cls, base: Preset) -> Variants:
        return {cls.name: unnormalised(base, norm="none", components=2)}

    @classmethod
    def check(cls, preset: Preset) -> None:
        super().check(preset)
        if preset.z_dim < 2:
            raise UsageError("z_dim=1 is too short: its first number picks the generator")

    @classmethod
    def make_generator(cls, preset: Preset) -> nn.Module:
        one = preset.replace(z_dim=preset.z_dim - 1)
        members = [build_generator(one) for _ in range(preset.components)]
        return MixtureGenerator(members, normal=preset.z_distribution == "normal")

    @classmethod
    def make_discriminator(cls, preset: Preset) -> nn.Module:
        return MixtureDiscriminator([build_discriminator(preset) for _ in range(preset.components)])

    def _build(self) -> None:
        count = self.preset.components
        self.critic = self.linear(self.feature_dim // count, count)  # a unit on the features of each extractor
        self.critic_logits = nn.Parameter(torch.zeros(count))  # not in the critics, whose parameters are clipped

    def _values(self, images: Tensor) -> Tensor:
        """Mean (n,) over the batch of each critic's values of images."""
        unit = self.critic
        return ((self.D(images).unflatten(1, unit.weight.shape) * unit.weight).sum(2) + unit.bias).mean(0)

    def _payoff(self, fakes: list[Tensor], images: Tensor | None) -> Tensor:
        """Weighted sum of F, without its first term if ``images`` is None."""
        weights = self.generator_net.logits.softmax(0)
        per_pair = -torch.stack([self._values(fake) for fake in fakes])
        if images is not None:
            weights, per_pair = weights.detach(), per_pair + self._values(images)
        return weights @ per_pair @ self.critic_logits.softmax(0)

    def _fakes(self, noise: Tensor) -> list[Tensor]:
        return [self.run_net(net, noise[:, 1:]) for net in self.generator_net.components]

    def _regulariser(self, logits: Tensor) -> Tensor:
        return -self.preset.entropy * logits.log_softmax(0).mean()

    def _critic_loss(self, images: Tensor, noise: Tensor) -> Tensor:
        with torch.no_grad():
            fakes = self._fakes(noise)
        return self._regulariser(self.critic_logits) - self._payoff(fakes, images)

    def _generator_loss(self, noise: Tensor) -> Tensor:
        return self._regulariser(self.generator_net.logits) + self._payoff(self._fakes(noise), None)

    def step(self, images: Tensor, labels: Tensor | None, noise: Tensor) -> dict[str, Tensor]:
        logged = super().step(images, labels, noise)
        generators, critics = (x.detach().softmax(0) for x in (self.generator_net.logits, self.critic_logits))
        return {**logged, "largest_generator": generators.max(), "largest_critic": critics.max()}
