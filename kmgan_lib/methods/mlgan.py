"""MLGAN, the metric learning-based GAN of Dou (2017), as Eq. (7) without the center terms. A reconstruction."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from kmgan_lib import losses
from kmgan_lib.config import Options, Preset
from kmgan_lib.fields import field
from kmgan_lib.losses import inter_distance, intra_distance
from kmgan_lib.methods.base import Method, detached
from kmgan_lib.methods.parts import clamp, clipped, on_sphere


@dataclass(frozen=True)
class MLGANOptions(Options):
    """What only MLGAN has."""

    clip: float | None = field(None, "WGAN's code", "bound on D's parameters, or none", above=0)
    clip_scope: str = field("all", "readings, row 14", "which parameters are clipped", ("all", "weights"))
    pair_reduction: str = field(
        "mean", "readings, row 33", "pair sums as printed, means, or means over unordered pairs", losses.PAIR_REDUCTIONS
    )
    embedding: str = field(
        "free", "ours", "features as they come, or on the unit sphere", ("free", "sphere"), later=True
    )
    spread: bool = field(
        False, "Bellemare et al., 2017", "G also keeps its samples apart: the whole energy distance", later=True
    )


class MLGAN(Method):
    r"""Metric learning-based GAN: D pulls real to real and generated to generated, and pushes the two apart.

    .. math:: L_D = L_{intra} - L_{inter}, \qquad L_G = L_{inter}

    with the distances of Eq. (7), of features on the unit sphere and over unordered pairs of samples, so that D
    maximises the energy distance, and G minimises it: its own samples' distances, which Eq. (7) has in D alone, belong
    to it (Bellemare et al., 2017), without them the best G draws one median image. ``mlgan-clip``, the row of Table 4
    (5.23), also keeps the weights of D within ±0.01.

    ``mlgan-ordered`` and ``mlgan-ordered-clip`` take the means over all ordered pairs of features as they come. There
    the objective is positive where real and generated samples are alike, and D gains by mapping all to one point.

    *Reconstruction*: the original's text could not be read. Its abstract gives the pull and push terms, and Section
    3.3 of the KM-GAN paper takes :math:`L_{intra}` and :math:`L_{inter}` from it; the clip is WGAN's, the other
    settings are KM-GAN's. Table 4 calls MLGAN conditional; nothing readable says how labels enter, and here they do
    not.
    """

    name = "mlgan"
    Options = MLGANOptions
    options: MLGANOptions

    @classmethod
    def variants(cls, base: Preset) -> Mapping[str, Mapping[str, Any]]:
        """The energy distance and ordered pairs, each without clipping and with the clipping that leaves D alive."""
        weights: dict[str, Any] = {"clip": 0.01, "clip_scope": "weights"}
        energy: dict[str, Any] = {
            "tail": "plain", "head": "penultimate", "pair_reduction": "pairs", "embedding": "sphere", "spread": True,
        }  # fmt: skip
        return {
            "mlgan": energy, "mlgan-clip": energy | weights, "mlgan-ordered": {}, "mlgan-ordered-clip": weights,
        }  # fmt: skip

    def __init__(self, preset: Preset, *, device: torch.device, seed: int):
        super().__init__(preset, device=device, seed=seed)
        self._clipped = clipped(self.discriminator_net, self.options.clip_scope)

    def _features(self, images: Tensor) -> Tensor:
        return on_sphere(self.D(images)) if self.options.embedding == "sphere" else self.D(images)

    def step(self, images: Tensor, labels: Tensor | None, noise: Tensor) -> dict[str, Tensor]:
        """One update of D and of G; see `Method.step`."""
        fake, reduction = self.G(noise), self.options.pair_reduction
        f, g = self._features(images), self._features(fake.detach())
        intra, inter = intra_distance(f, g, reduction=reduction), inter_distance(f, g, reduction=reduction)
        loss_d = intra - inter
        self._update(self.discriminator_adam, loss_d)
        clamp(self._clipped, self.options.clip)

        with torch.no_grad():
            f = self._features(images)

        def generator_loss(fake: Tensor) -> Tensor:
            g = self._features(fake)
            loss = inter_distance(f, g, reduction=reduction)
            return loss - intra_distance(f, g, reduction=reduction) if self.options.spread else loss

        loss_g = self._update_generator(generator_loss, fake)
        return detached(loss_d=loss_d, loss_g=loss_g, intra=intra, inter=inter)
