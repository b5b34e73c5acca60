"""DCGAN, the paper's baseline, with or without labels; SN-GAN, a yardstick of today; Improved GAN without labels."""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from kmgan_lib.config import OWN, Preset, field
from kmgan_lib.distributed import all_gather, shard, world_size
from kmgan_lib.methods.base import Method, Variants
from kmgan_lib.methods.parts import WeightNormalised, logged, unnormalised
from kmgan_lib.models.layers import concat_labels, require_labels


class DCGAN(Method):
    r"""Deep convolutional GAN with the non-saturating objective.

    .. math:: \max_D\; E \log D(x) + E \log (1 - D(G(z))), \qquad \max_G\; E \log D(G(z))

    Goodfellow et al. (2014); Eqs. (1) and (2) of the paper print both signs flipped. D is KM-GAN's without its last
    layer and without batch normalisation of the fully connected one, with one linear unit as the logit (Radford et al.,
    2016). A conditional model feeds real labels to every layer of both networks.

    ``dcgan-carpedm20`` has the D of carpedm20/DCGAN-tensorflow on 28x28, ``dcgan-table3`` and ``dcgan-table5`` have
    those of the paper's tables, whose batch normalisation before the logit hides a collapsed generator from D.
    """

    name = "dcgan"
    on_points = labelled = True

    class Options(Preset):
        generator_updates: int = field(2, "DCGAN's code; readings, row 20", "updates of G for one of D", gt=0)

    @classmethod
    def variants(cls, base: Preset) -> Variants:
        if base.network == "synthetic":
            return {"dcgan": {"generator_updates": 1}}
        own: dict[str, Any] = unnormalised(base, generator_updates=1)
        told: dict[str, Any] = {"conditional": not base.dataset.startswith(OWN)}
        code: dict[str, Any] = {"learning_rate": 2e-4}
        if base.dataset == "celeba":
            return {"dcgan": own, "dcgan-table5": code}
        if base.network == "cifar10":
            return {"dcgan": own, "dcgan-conditional": own | told, "dcgan-table3": code}
        # c_dim + y_dim and df_dim + y_dim channels, and no layer between FC 1024 and logit.
        code |= {"head": "penultimate", "conv_first": 11, "conv_second": 74}
        return {"dcgan": own | told, "dcgan-unconditional": own, "dcgan-carpedm20": code | told}

    def _build(self) -> None:
        self.logit = self.linear(self.feature_dim + self.classes)

    def _logits(self, images: Tensor, labels: Tensor | None) -> Tensor:
        features = self.D(images, labels)
        if self.classes:
            features = concat_labels(features, all_gather(require_labels(labels)), self.classes)
        return self.logit(features).squeeze(1)

    def _discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return F.softplus(-real).mean() + F.softplus(fake).mean()

    def _generator_loss(self, images: Tensor, fake: Tensor, labels: Tensor | None) -> Tensor:
        return F.softplus(-self._logits(fake, labels)).mean()

    def step(self, images: Tensor, labels: Tensor | None, noise: Tensor) -> dict[str, Tensor]:
        fake = self.G(noise, labels)
        real_logits, fake_logits = self._logits(images, labels), self._logits(fake.detach(), labels)
        loss_d = self._discriminator_loss(real_logits, fake_logits)
        self._update(self.discriminator_optimiser, loss_d)

        loss_g = loss_d.new_zeros(())
        for update in range(self.preset.generator_updates):
            fake = self.G(noise, labels) if update else fake
            loss_g = self._generator_loss(images, fake, labels)
            self._update(self.generator_optimiser, loss_g)
        return logged(loss_d, loss_g, real_logits, fake_logits)


class SNGAN(DCGAN):
    r"""Spectrally normalised GAN with the hinge loss (Miyato et al., 2018), on the convolutions of the other methods.

    .. math:: L_D = E [1 - D(x)]_+ + E [1 + D(G(z))]_+ , \qquad L_G = -E\, D(G(z))

    Every layer of D, the logit too, is divided by its largest singular value, and no batch is normalised. No row of
    Table 4: it tells what a GAN of these networks and this budget can do.
    """

    name = "sngan"
    on_points = labelled = False

    @classmethod
    def variants(cls, base: Preset) -> Variants:
        return {cls.name: unnormalised(base, norm="spectral", generator_updates=1)}

    def _build(self) -> None:
        super()._build()
        spectral_norm(self.logit)

    def _discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return F.relu(1 - real).mean() + F.relu(1 + fake).mean()

    def _generator_loss(self, images: Tensor, fake: Tensor, labels: Tensor | None) -> Tensor:
        return -self._logits(fake, labels).mean()


class MinibatchDiscrimination(nn.Module):
    r"""How close each sample is to the others of its batch (Salimans et al., 2016, Section 3.2).

    .. math:: M_i = f_i T, \qquad o_{i,r} = \frac{1}{b - 1} \sum_{j \ne i} \exp(-\|M_{i,r} - M_{j,r}\|_1)

    The mean stands for the original's sum (ours). ``features`` is d, ``kernels`` the number of r, ``kernel_dim`` the
    length of each row :math:`M_{i,r}`.
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
    r"""Improved GAN, unlabelled: D with minibatch discrimination, and the objectives of `DCGAN`.

    Table 4's 4.36 is the ablation "-L" of Salimans et al., their model without labels. From their program come weight
    normalisation, noise and dropout in D, gains and biases set by a first batch, and three updates of G for one of D.
    ``improved_gan-matching`` has the kernels alone, and feature matching,

    .. math:: \min_G\; \frac{1}{d'} \big\| \overline{h(x)} - \overline{h(G(z))} \big\|_1

    with h the features and closeness values, the bar the mean over the batch.
    """

    name = "improved_gan"
    on_points = labelled = False

    class Options(DCGAN.Options):
        kernels: int = field(100, "Improved GAN's code", "closeness values a sample gets from its batch", gt=0)
        kernel_dim: int = field(5, "Improved GAN's code", "dimensions in which each closeness is measured", gt=0)
        objective: Literal["matching", "logarithm"] = field(
            "matching", "Improved GAN's code", "of G: feature matching, or the logarithm as in DCGAN", later=True
        )
        generator_updates: int = field(1, "Improved GAN's code", "updates of G for one of D", gt=0, later=True)
        noise: float = field(0.0, "Improved GAN's code", "spread of the noise on D's images", ge=0, later=True)
        dropout: float = field(0.0, "Improved GAN's code", "share of D's units that drop out", ge=0, lt=1, later=True)
        initialise_by_data: bool = field(False, "Improved GAN's code", "D's gains by a first batch", later=True)

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
        """Features and closeness values of the whole batch, whose images D sees with noise."""
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
