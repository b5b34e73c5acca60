"""MIX+WGAN: mixtures of generators and of critics with learned weights (Arora et al., 2017)."""

from typing import Any

import torch
from torch import Tensor, nn

from kmgan_lib.config import Preset, field
from kmgan_lib.errors import UsageError
from kmgan_lib.methods.base import Variants
from kmgan_lib.methods.parts import unnormalised
from kmgan_lib.methods.wgan import WGAN
from kmgan_lib.models import build_discriminator, build_generator


class MixtureGenerator(nn.Module):
    r"""Generators :math:`G_1 \dots G_n` and the weights with which samples are drawn from them.

    The first number of the noise picks the generator, the others are its noise: with :math:`u \in (0, 1)` the value of
    :math:`z_1` under its distribution function, it is the first i with :math:`u \le w_1 + \dots + w_i`.
    """

    def __init__(self, components: list[nn.Module], *, normal: bool):
        super().__init__()
        self.components, self.normal = nn.ModuleList(components), normal
        self.logits = nn.Parameter(torch.zeros(len(components)))

    def weights(self) -> Tensor:
        """Mixture weights (n,), positive with sum 1."""
        return self.logits.softmax(0)

    def pick(self, noise: Tensor) -> Tensor:
        """Number (b,) of the generator of each row of noise."""
        first = noise[:, 0].float()
        u = torch.special.ndtr(first) if self.normal else (first + 1) / 2
        return (u.unsqueeze(1) > self.weights().cumsum(0)[:-1]).sum(1)

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

    where each side also minimises :math:`0.1\,R` of its own weights (Arora et al., 2017, Section 6).

    *Reconstruction*: Table 4's 4.04 is from that paper, whose released code (PrincetonML/MIX-plus-GANs) is the
    label-conditional MIX+DCGAN only. From it comes the regulariser; all else is WGAN's, without bursts. The presets
    have 2 + 2 members where that code has 5 + 5. Mixture weights are not clipped.
    """

    name = "mix_wgan"

    class Options(WGAN.Options):
        burst: int = field(5, "ours", "updates of D in the first 25 iterations, and in every 500th: no bursts", gt=0)
        components: int = field(5, "MIX+GAN's code", "number of generators, and of critics", gt=0)
        entropy: float = field(0.1, "MIX+GAN's code", "weight of the regulariser of the mixture weights", ge=0)

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
        self.critic_logits = nn.Parameter(torch.zeros(count))  # beside the critics, whose parameters are clipped

    def _values(self, images: Tensor) -> Tensor:
        """Means (n,) over the batch of what each critic makes of images."""
        unit = self.critic
        return ((self.D(images).unflatten(1, unit.weight.shape) * unit.weight).sum(2) + unit.bias).mean(0)

    def _payoff(self, fakes: list[Tensor], images: Tensor | None) -> Tensor:
        """Weighted sum of F, without its first term if ``images`` is None."""
        weights = self.generator_net.weights()
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
        generators, critics = self.generator_net.weights().detach(), self.critic_logits.detach().softmax(0)
        return {**logged, "largest_generator": generators.max(), "largest_critic": critics.max()}
