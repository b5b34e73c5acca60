"""Reduced KM-GAN, Algorithm 2: K-Means on the pixels instead of the features."""

import functools
from typing import Literal

import torch
from torch import Tensor, nn

from kmgan_lib.centers import CenterBank, assign, updated_centers
from kmgan_lib.config import Preset, field
from kmgan_lib.distributed import all_gather
from kmgan_lib.losses import block_norm
from kmgan_lib.methods.base import Variants, detached
from kmgan_lib.methods.parts import Clustered, label_entropy


class Reduced(Clustered):
    r"""Reduced KM-GAN (Algorithm 2), with the centers :math:`\tilde C` in pixel space.

    With labels :math:`\ell, \hat\ell` of the nearest real centers, and all centers moved by the batch as in Eq. (4),

    .. math:: \tilde c_m = \frac{c_m + \sum_{\ell_i = m} x_i}{1 + n_m}, \qquad
              \tilde e_m = \frac{\hat c_m + \sum_{\hat\ell_i = m} G(z_i)}{1 + \hat n_m},

    one iteration takes a step on each loss, in the paper's order:

    .. math:: \tilde L_{center} = \|D(\tilde c) - D(\tilde e)\|_1, \quad
              \tilde L_D = \|D(x) - D(\tilde c)_\ell\|_2 \;[- \|D(G(z)) - D(\tilde t)_{\hat\ell}\|_2], \quad
              \tilde L_G = \|D(G(z)) - D(\tilde t)_{\hat\ell}\|_2 .

    The term in brackets (``repulsion=true``) is not part of Algorithm 2; without it a constant D minimizes every loss
    (readings, row 37). The targets :math:`\tilde t` are the generated centers :math:`\tilde e`, so that
    :math:`\tilde C_{gen}` means one thing in all of Algorithm 2, or the real ones :math:`\tilde c` as in Algorithm 1.

    Only the center step reaches G through :math:`\tilde e`; the targets of the other two steps are constant images,
    although the D step also differentiates D at them. D sees the k centers as a batch of their own.
    """

    name = "reduced"

    class Options(Preset):
        k: int = field(10, "Section 2.1", "number of centers; D normalizes over them, so at least 2", ge=2)
        repulsion: bool = field(False, "readings, row 37", "D pushes generated samples from their centers (Eq. 5)")
        fake_targets: Literal["generated", "real"] = field("generated", "readings, row 37", "centers that pull G")
        init_images: int = field(10_000, "readings, row 23", "images that k-means++ sees", ge=2)

    @classmethod
    def variants(cls, base: Preset) -> Variants:
        fair = {"repulsion": True, "fake_targets": "real"}
        return {"reduced": {}, "reduced-repulsion": {"repulsion": True}, "reduced-fair": fair}

    def _build(self) -> None:
        self.bank = CenterBank(self.preset.k, self.preset.channels * self.preset.image_size**2)

    def _optimise(self) -> None:
        super()._optimise()
        self.center_optimiser = self.optimiser([*self.discriminator_net.parameters(), *self.generator_net.parameters()])

    @torch.no_grad()
    def setup(self, images: Tensor) -> None:
        """Initialise the centers by k-means++ on the pixels of at most ``init_images`` images."""
        generator = torch.Generator(self.device).manual_seed(self.seed)
        self.bank.initialise(self._run_all(nn.Flatten(), self._seen(images, generator)), generator)

    def step(self, images: Tensor, labels: Tensor | None, noise: Tensor) -> dict[str, Tensor]:
        bank, x = self.bank, all_gather(images.flatten(1))
        of_centers = functools.partial(self.run_net, self.discriminator_net)  # every rank has all k centers
        fake = self.G(noise)
        pixels = all_gather(fake.flatten(1))
        real_labels, fake_labels = assign(x, bank.real), assign(pixels.detach(), bank.real)
        real_centers = updated_centers(bank.real, x, real_labels).view(-1, *images.shape[1:])
        fake_centers = updated_centers(bank.fake, pixels, fake_labels).view(-1, *images.shape[1:])

        loss_center = (of_centers(real_centers) - of_centers(fake_centers)).abs().sum()
        self._update(self.center_optimiser, loss_center)

        targets = real_centers if self.preset.fake_targets == "real" else fake_centers.detach()
        loss_d = block_norm(self.D(images) - of_centers(real_centers)[real_labels])
        if self.preset.repulsion:
            loss_d = loss_d - block_norm(self.D(fake.detach()) - of_centers(targets)[fake_labels])
        self._update(self.discriminator_optimiser, loss_d)

        with torch.no_grad():
            wanted = of_centers(targets)[fake_labels]
        loss_g = block_norm(self.D(self.G(noise)) - wanted)
        self._update(self.generator_optimiser, loss_g)

        bank.update(x, pixels.detach(), real_labels, fake_labels)
        entropy = label_entropy(real_labels, self.preset.k)
        return detached(loss_d=loss_d, loss_g=loss_g, loss_center=loss_center, assignment_entropy=entropy)
