"""Adversarially learned inference: an encoder beside G, and D sees image and code (Dumoulin et al., 2016)."""

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kmgan_lib.config import Preset, field
from kmgan_lib.distributed import all_gather
from kmgan_lib.methods.base import Variants
from kmgan_lib.methods.parts import Dropout, WeightNormalised, logged
from kmgan_lib.models import build_discriminator
from kmgan_lib.models.layers import initialise, scale_width


def _linear(inputs: int, outputs: int = 1) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    initialise(layer)
    return layer


class JointHead(nn.Module):
    """Tells whether image features and a code come from the encoder or from G: two layers after joining them."""

    def __init__(self, features: int, z_dim: int, width: float, *, dropout: float = 0.0, he: bool = False):
        super().__init__()
        code, hidden = scale_width(512, width), scale_width(1024, width)
        self.code, self.joint, self.logit = _linear(z_dim, code), _linear(features + code, hidden), _linear(hidden)
        self.drop = Dropout(dropout, gathered=True)
        if he:
            for layer in (self.code, self.joint, self.logit):
                nn.init.kaiming_normal_(layer.weight, 0.2)

    def forward(self, features: Tensor, codes: Tensor) -> Tensor:
        """Features (b, d) and codes (b, z_dim) to logits (b,), high for the encoder's pairs."""
        x = torch.cat([features, F.leaky_relu(self.drop(self.code(codes)), 0.2)], 1)
        return self.logit(F.leaky_relu(self.drop(self.joint(x)), 0.2)).squeeze(1)


class ALI(WeightNormalised):
    r"""Adversarially learned inference: D tells pairs :math:`(x, \hat z)` from pairs :math:`(G(z), z)`.

    .. math:: \hat z = \mu(x) + \sigma(x)\,\epsilon, \quad \epsilon \sim N(0, 1), \qquad
              \max_D\; E \log D(x, \hat z) + E \log (1 - D(G(z), z))

    G and the encoder maximize :math:`E \log (1 - D(x, \hat z)) + E \log D(G(z), z)`. From IshmaelBelghazi/ALI come
    Adam, the Gaussian prior, dropout in D, and D's shape: features of the image and of the code, joined, then two
    layers. D normalizes weights instead of batches, its gains set from a first batch (ours). All else is as in the
    other methods (original: maxout units, z_dim 64). ``ali-nodropout`` has neither dropout nor these gains.
    """

    name = "ali"
    drawing = ("generator_net", "encoder")

    class Options(Preset):
        dropout: float = field(0.0, "ALI's code", "share of D's units dropped", ge=0, lt=1, later=True)
        initialise_by_data: bool = field(False, "ours", "set D's gains from a first batch", later=True)

    @classmethod
    def variants(cls, base: Preset) -> Variants:
        prior: dict[str, Any] = {"z_distribution": "normal"}
        head = {"head": "penultimate"} if base.network == "mnist" else {}
        repaired = {"tail": "plain", "head": "penultimate", "dropout": 0.2, "initialise_by_data": True}
        return {"ali": prior | repaired, "ali-nodropout": {**prior, "learning_rate": 1e-4, **head}}

    def _build(self) -> None:
        p = self.preset
        # Images (b, c, h, w) to mean and logarithm of the standard deviation of q(z | x), side by side (b, 2 z_dim).
        trunk: Any = build_discriminator(p.replace(head="penultimate"))
        self.encoder = nn.Sequential(OrderedDict(trunk=trunk, last=_linear(trunk.feature_dim, 2 * p.z_dim)))
        self.joint = JointHead(self.feature_dim, p.z_dim, p.width, dropout=p.dropout, he=p.initialise_by_data)

    def encode(self, images: Tensor) -> Tensor:
        """A code (b, z_dim) drawn for each image (b, c, h, w)."""
        mean, log_deviation = all_gather(self.run_net(self.encoder, images)).chunk(2, 1)
        return mean + log_deviation.exp() * torch.randn(mean.shape, generator=self.rng, device=self.device)

    def step(self, images: Tensor, labels: Tensor | None, noise: Tensor) -> dict[str, Tensor]:
        fake, codes, noise = self.G(noise), self.encode(images), all_gather(noise)
        encoded = self.joint(self.D(images), codes.detach())
        generated = self.joint(self.D(fake.detach()), noise)
        loss_d = F.softplus(-encoded).mean() + F.softplus(generated).mean()
        self._update(self.discriminator_optimiser, loss_d)

        loss_g = F.softplus(self.joint(self.D(images), codes)).mean()
        loss_g = loss_g + F.softplus(-self.joint(self.D(fake), noise)).mean()
        self._update(self.generator_optimiser, loss_g)
        return logged(loss_d, loss_g, encoded, generated)
