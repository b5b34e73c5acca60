"""MLGAN, the metric learning-based GAN of Dou (2017), as Eq. (7) without the center terms. A reconstruction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from kmgan_lib import losses
from kmgan_lib.fields import field
from kmgan_lib.losses import inter_distance, intra_distance
from kmgan_lib.methods.base import Method, frozen
from kmgan_lib.methods.parts import clamp, clipped
from kmgan_lib.presets import Options, Preset


@dataclass(frozen=True)
class MLGANOptions(Options):
    """What only MLGAN has."""

    clip: float | None = field(None, "WGAN's code", "bound on D's parameters, or none", above=0)
    clip_scope: str = field("all", "readings, row 14", "which parameters are clipped", ("all", "weights"))
    pair_reduction: str = field("mean", "readings, row 33", "pair sums as printed, or means", losses.PAIR_REDUCTIONS)


class MLGAN(Method):
    r"""Metric learning-based GAN: D pulls real to real and generated to generated, and pushes the two apart.

    .. math:: L_D = L_{intra} - L_{inter}, \qquad L_G = L_{inter}

    with the distances of Eq. (7). ``mlgan-clip``, the row of Table 4 (5.23), keeps the weights of D within ±0.01, and
    ``mlgan-clip-all`` every parameter, as WGAN does.

    *Reconstruction*: the original's text could not be read. Its abstract gives the pull and push terms, and Section
    3.3 of the KM-GAN paper takes :math:`L_{intra}` and :math:`L_{inter}` from it; the clip is WGAN's, the other
    settings are KM-GAN's. Table 4 calls MLGAN conditional; nothing readable says how labels enter, and here they do
    not. Where real and generated features coincide :math:`L_{intra} - L_{inter}` is still positive, so that D gains by
    mapping everything to one point (readings, row 33).
    """

    name = "mlgan"
    Options = MLGANOptions
    options: MLGANOptions

    @classmethod
    def variants(cls, base: Preset) -> Mapping[str, Mapping[str, Any]]:
        """Without clipping, and with it in the reading that leaves D alive, and in WGAN's."""
        if base.network == "synthetic":
            return {}
        weights: dict[str, Any] = {"clip": 0.01, "clip_scope": "weights"}
        return {"mlgan": {}, "mlgan-clip": weights, "mlgan-clip-all": {"clip": 0.01}}

    def __init__(self, preset: Preset, *, device: torch.device, seed: int):
        super().__init__(preset, device=device, seed=seed)
        self.discriminator_adam = self.adam(self.discriminator_net.parameters())
        self.generator_adam = self.adam(self.generator_net.parameters())
        self._clipped = clipped(self.discriminator_net, self.options.clip_scope)

    def optimisers(self) -> dict[str, torch.optim.Optimizer]:  # noqa: D102
        return {"discriminator": self.discriminator_adam, "generator": self.generator_adam}

    def step(self, images: Tensor, labels: Tensor | None, noise: Tensor) -> dict[str, Tensor]:
        """One update of D and of G; see `Method.step`."""
        fake, reduction = self.G(noise), self.options.pair_reduction
        f, g = self.D(images), self.D(fake.detach())
        intra, inter = intra_distance(f, g, reduction=reduction), inter_distance(f, g, reduction=reduction)
        loss_d = intra - inter
        self._update(self.discriminator_adam, loss_d)
        clamp(self._clipped, self.options.clip)

        with frozen(self.discriminator_net):
            with torch.no_grad():
                f = self.D(images)
            loss_g = inter_distance(f, self.D(fake), reduction=reduction)
            self._update(self.generator_adam, loss_g)
        return {
            "loss_d": loss_d.detach(), "loss_g": loss_g.detach(), "intra": intra.detach(), "inter": inter.detach(),
        }  # fmt: skip
