"""DCGAN, the paper's baseline, with labels (as in its MNIST code) or without; and SN-GAN, a newer yardstick."""

from typing import Any

from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from kmgan_lib.config import OWN, Preset, field
from kmgan_lib.distributed import all_gather
from kmgan_lib.methods.base import Method, Variants
from kmgan_lib.methods.parts import logged, unnormalised
from kmgan_lib.models.layers import concat_labels, require_labels


class DCGAN(Method):
    r"""Deep convolutional GAN with the non-saturating objective.

    .. math:: \max_D\; E \log D(x) + E \log (1 - D(G(z))), \qquad \max_G\; E \log D(G(z))

    Goodfellow et al. (2014); Eqs. (1) and (2) of the paper print both signs flipped. D is KM-GAN's without its last
    layer and without batch normalization of the fully connected one, with one linear unit as the logit (Radford et al.,
    2016). A conditional model feeds real labels to every layer of both networks.

    ``dcgan-carpedm20`` has the D of carpedm20/DCGAN-tensorflow on 28x28, ``dcgan-table3`` and ``dcgan-table5`` have
    those of the paper's tables, whose batch normalization before the logit hides a collapsed generator from D.
    """

    name = "dcgan"
    on_points = labelled = True

    class Options(Preset):
        generator_updates: int = field(2, "DCGAN's code; readings, row 20", "updates of G per update of D", gt=0)

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
    r"""Spectrally normalized GAN with the hinge loss (Miyato et al., 2018), on the convolutions of the other methods.

    .. math:: L_D = E [1 - D(x)]_+ + E [1 + D(G(z))]_+ , \qquad L_G = -E\, D(G(z))

    Every layer of D, the logit too, is divided by its largest singular value, without batch normalization. It is not in
    Table 4; it shows what a GAN with these networks and this budget can do.
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
