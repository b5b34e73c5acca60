"""Metric learning: MBGAN (Dai, Xie and Fang, 2017) by triplets, MLGAN (Dou, 2017) by pairs. Reconstructions."""

from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from kmgan_lib.config import Preset, field
from kmgan_lib.distributed import all_gather
from kmgan_lib.losses import PairReduction, inter_distance, intra_distance
from kmgan_lib.methods.base import Method, Variants, detached
from kmgan_lib.methods.parts import clip_weights


def mean_distance(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference (b,) of the rows of two blocks (b, ...)."""
    return (a - b).abs().flatten(1).mean(1)


class MBGAN(Method):
    r"""Metric-based GAN: real samples near each other, generated ones farther away by a margin set by the data.

    With other real images x' (the batch shifted by one), :math:`\hat x = G(z)`, features on the unit sphere (Schroff et
    al., 2015) and :math:`d(a, b) = \|a - b\|_2^2`,

    .. math:: L_D = [m + d(f(x), f(x')) - d(f(x), f(\hat x))]_+ , \quad
              m = \frac{\Delta(x, \hat x)}{2\, \overline{\Delta}} , \qquad L_G = d(f(x), f(\hat x)),

    averaged over the batch, with :math:`\Delta` the mean absolute difference of pixels and the bar its mean.
    ``mbgan-free`` leaves features unscaled, uses mean absolute differences for d and :math:`\Delta` itself as the
    margin, and adds :math:`d(f(x), f(x'))` once more; there D gains by mapping everything to one point.

    *Reconstruction*: only the abstract was available. It gives triplets and a data-dependent margin as in Qi (2017),
    there an L1 distance of pixels; formula, norm and settings are ours. Table 4 (4.27) calls MBGAN conditional; this
    one uses no labels.
    """

    name = "mbgan"

    class Options(Preset):
        embedding: Literal["free", "sphere"] = field("free", "ours", "features as they come or of length 1", later=True)

    @classmethod
    def variants(cls, base: Preset) -> Variants:
        sphere: dict[str, Any] = {"tail": "plain", "head": "penultimate", "embedding": "sphere"}
        return {"mbgan": sphere, "mbgan-free": {"head": "penultimate"} if base.network == "mnist" else {}}

    def _distance(self, a: Tensor, b: Tensor) -> Tensor:
        """Distance (b,) of the rows of two blocks of features (b, d)."""
        if self.preset.embedding == "free":
            return mean_distance(a, b)
        return (F.normalize(a) - F.normalize(b)).square().sum(1)

    def step(self, images: Tensor, labels: Tensor | None, noise: Tensor) -> dict[str, Tensor]:
        fake = self.G(noise)
        f, g = self.D(images), self.D(fake.detach())
        real_distance, fake_distance = self._distance(f, f.roll(1, 0)), self._distance(f, g)
        margin = all_gather(mean_distance(images, fake.detach()))
        if self.preset.embedding == "sphere":
            margin = margin / (2 * margin.mean())
        violation = F.relu(margin + real_distance - fake_distance)
        loss_d = (violation if self.preset.embedding == "sphere" else real_distance + violation).mean()
        self._update(self.discriminator_optimiser, loss_d)

        with torch.no_grad():
            f = self.D(images)
        loss_g = self._distance(f, self.D(fake)).mean()
        self._update(self.generator_optimiser, loss_g)
        return detached(loss_d=loss_d, loss_g=loss_g, violation=violation.mean())


class MLGAN(Method):
    r"""Metric learning-based GAN: D pulls real to real and generated to generated, and pushes the two apart.

    .. math:: L_D = L_{intra} - L_{inter}, \qquad L_G = L_{inter}

    with the distances of Eq. (7) over unordered pairs of features on the unit sphere, so that D maximizes the energy
    distance and G minimizes it, including the distances of its own samples (Bellemare et al., 2017): without them the
    best G generates one median image. ``mlgan-clip``, the row of Table 4 (5.23), also keeps the weights of D within
    ±0.01. ``mlgan-ordered`` and ``mlgan-ordered-clip`` take means over ordered pairs of unscaled features; there D
    gains by mapping everything to one point.

    *Reconstruction*: only the abstract was available. It gives the pull and push terms, which Section 3.3 takes from
    it; the clip is WGAN's, all else is KM-GAN's. It uses no labels.
    """

    name = "mlgan"

    class Options(Preset):
        clip: float | None = field(None, "WGAN's code", "bound on D's parameters, or none", gt=0)
        clip_scope: Literal["all", "weights"] = field("all", "readings, row 14", "which parameters are clipped")
        pair_reduction: PairReduction = field("mean", "readings, row 33", "pair sums, means, or of unordered pairs")
        embedding: Literal["free", "sphere"] = field("free", "ours", "features as they come or of length 1", later=True)
        spread: bool = field(False, "Bellemare et al., 2017", "G also keeps its samples apart", later=True)

    @classmethod
    def variants(cls, base: Preset) -> Variants:
        weights: dict[str, Any] = {"clip": 0.01, "clip_scope": "weights"}
        energy: dict[str, Any] = {
            "tail": "plain", "head": "penultimate", "pair_reduction": "pairs", "embedding": "sphere", "spread": True,
        }  # fmt: skip
        return {"mlgan": energy, "mlgan-clip": energy | weights, "mlgan-ordered": {}, "mlgan-ordered-clip": weights}

    def _features(self, images: Tensor) -> Tensor:
        return F.normalize(self.D(images)) if self.preset.embedding == "sphere" else self.D(images)

    def step(self, images: Tensor, labels: Tensor | None, noise: Tensor) -> dict[str, Tensor]:
        fake, reduction = self.G(noise), self.preset.pair_reduction
        f, g = self._features(images), self._features(fake.detach())
        intra, inter = intra_distance(f, g, reduction=reduction), inter_distance(f, g, reduction=reduction)
        loss_d = intra - inter
        self._update(self.discriminator_optimiser, loss_d)
        clip_weights(self.discriminator_net, self.preset.clip, self.preset.clip_scope)

        with torch.no_grad():
            f = self._features(images)
        g = self._features(fake)
        loss_g = inter_distance(f, g, reduction=reduction)
        if self.preset.spread:
            loss_g = loss_g - intra_distance(f, g, reduction=reduction)
        self._update(self.generator_optimiser, loss_g)
        return detached(loss_d=loss_d, loss_g=loss_g, intra=intra, inter=inter)
