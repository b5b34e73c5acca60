"""SN-GAN: the hinge loss and a spectrally normalised D (Miyato et al., 2018), a yardstick of today."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from kmgan_lib.config import Preset
from kmgan_lib.methods.dcgan import DCGAN
from kmgan_lib.methods.parts import unnormalised


class SNGAN(DCGAN):
    r"""Spectrally normalised GAN, on the convolutions of the other methods.

    .. math:: L_D = E [1 - D(x)]_+ + E [1 + D(G(z))]_+ , \qquad L_G = -E\, D(G(z))

    Every layer of D, the logit too, is divided by its largest singular value, and no batch is normalised, so that D is
    Lipschitz in the image. No row of Table 4: it tells what a GAN of these networks and this budget can do.
    """

    name = "sngan"
    on_points = False

    @classmethod
    def variants(cls, base: Preset) -> Mapping[str, Mapping[str, Any]]:
        """One preset, without labels."""
        return {cls.name: {**unnormalised(base), "norm": "spectral", "generator_updates": 1}}

    @classmethod
    def check(cls, preset: Preset) -> None:
        """No labels here."""
        super(DCGAN, cls).check(preset)

    def _build(self) -> None:
        super()._build()
        spectral_norm(self.logit)

    def _discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return F.relu(1 - real).mean() + F.relu(1 + fake).mean()

    def _generator_loss(self, fake: Tensor) -> Tensor:
        return -fake.mean()
