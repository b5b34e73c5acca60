"""KM-GAN, Algorithm 1: discriminator, generator and center step on one batch, then K-Means on the features."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from kmgan_lib.centers import CenterBank, assign
from kmgan_lib.losses import center_loss, discriminator_loss, generator_loss, inter_distance, intra_distance
from kmgan_lib.methods.base import Method, draw_noise, frozen


class KMGAN(Method):
    r"""Regular and generalized KM-GAN (Algorithm 1 and Eq. 7), trained by three Adams, one an objective (row 17).

    One iteration, on one batch x and one noise z:

    1. :math:`f = D(x)`, :math:`g = D(G(z))`; labels are the nearest *real* centers (row 4).
    2. D step on Eq. (5). The features of the label pass serve it: same parameters, same batch.
    3. G step on Eq. (6), with the labels of the first pass.
    4. Center step: D and G together on Eq. (4), skipped where its gate is closed.
    5. The centers move by the features of the center step, or by fresh ones (row 7).

    D's parameters are clipped after every step that moves them (row 14).

    Attributes
    ----------
    bank : CenterBank
        Real and generated centers.
    iteration : int
        Number of finished steps.
    """

    bank: CenterBank

    def __init__(self, preset: Any, *, device: torch.device, seed: int):
        super().__init__(preset, device=device, seed=seed)
        self.iteration = 0
        self.bank = CenterBank(preset.k, self._feature_dim(), update=preset.center_update, device=device)
        d, g = list(self.discriminator_net.parameters()), list(self.generator_net.parameters())
        self.discriminator_adam, self.generator_adam = self.adam(d), self.adam(g)
        self.center_adam = self.adam([*d, *g])
        norms = (nn.BatchNorm1d, nn.BatchNorm2d)
        layers = [m for m in self.discriminator_net.modules() if not isinstance(m, norms)]
        weights = [p for m in layers for name, p in m.named_parameters(recurse=False) if name == "weight"]
        self._clipped = d if preset.clip_scope == "all" else weights

    def _feature_dim(self) -> int:
        return int(self.discriminator_net.feature_dim)  # pyright: ignore[reportArgumentType]

    def optimisers(self) -> dict[str, torch.optim.Optimizer]:  # noqa: D102
        return {
            "discriminator": self.discriminator_adam, "generator": self.generator_adam, "center": self.center_adam,
        }  # fmt: skip

    @torch.no_grad()
    def setup(self, images: Tensor) -> None:
        """Initialise the real centers by k-means++ on D's features of at most ``init_images`` images."""
        generator = torch.Generator(self.device).manual_seed(self.seed)
        features = torch.cat([self.D(x) for x in self.batches(self._subset(images, generator))])
        self.bank.initialise(features, generator, lloyd_iterations=self.preset.lloyd_iterations)

    def _subset(self, images: Tensor, generator: torch.Generator) -> Tensor:
        chosen = torch.randperm(len(images), generator=generator, device=self.device)[: self.preset.init_images]
        return images[chosen.to(images.device)]

    def step(self, images: Tensor, labels: Tensor | None, noise: Tensor) -> dict[str, Tensor]:
        """One iteration; see the class and `Method.step`."""
        p, D, G, bank = self.preset, self.D, self.G, self.bank
        fake = G(noise)
        f, g = D(images), D(fake.detach())
        real_labels = assign(f.detach(), bank.real)
        fake_labels = assign(g.detach(), bank.real if p.fake_labels == "real" else bank.fake)
        real_targets, fake_targets = bank.real[real_labels], bank.real[fake_labels]

        loss_d = discriminator_loss(f, g, real_targets, fake_targets, reduction=p.reduction)
        if p.lambda_pair:
            intra, inter = (pair(f, g, reduction=p.pair_reduction) for pair in (intra_distance, inter_distance))
            loss_d = loss_d + p.lambda_pair * (intra - inter)
        self._update(self.discriminator_adam, loss_d)
        self._clip()

        loss_g = torch.zeros((), device=self.device)
        for update in range(p.generator_updates):
            with frozen(self.discriminator_net):
                g = D(fake if update == 0 else G(noise))
                loss_g = generator_loss(g, fake_targets, reduction=p.reduction)
                if p.lambda_pair:
                    with torch.no_grad():
                        f = D(images)
                    loss_g = loss_g + p.lambda_pair * inter_distance(f, g, reduction=p.pair_reduction)
                self._update(self.generator_adam, loss_g)

        losses = {"loss_d": loss_d.detach(), "loss_g": loss_g.detach()}
        losses |= self._center_step(images, noise, real_labels, fake_labels)
        self.iteration += 1
        if p.center_update == "recluster" and self.iteration % p.recluster_every == 0:
            self._recluster()
        sizes = torch.bincount(real_labels, minlength=p.k) / len(images)
        losses["assignment_entropy"] = torch.special.entr(sizes).sum()
        return losses

    def _center_step(
        self, images: Tensor, noise: Tensor, real_labels: Tensor, fake_labels: Tensor
    ) -> dict[str, Tensor]:
        """Step 3 on Eq. (4), then the update of the centers."""
        p, bank = self.preset, self.bank
        with torch.set_grad_enabled(p.center_loss):
            f, g = self.D(images), self.D(self.G(noise))
            loss = center_loss(f, g, real_labels, fake_labels, bank.real, bank.fake, per_cluster=p.per_cluster)
        closed = self._gate_closed(loss.detach())
        if p.center_loss:
            # A fused Adam skips its step on the device where found_inf is 1: the gate needs no look at the loss from
            # the host, and a skipped step moves neither weights nor moments.
            self.center_adam.found_inf = closed.float()  # pyright: ignore[reportAttributeAccessIssue]
            self._update(self.center_adam, loss)
            self._clip()
        with torch.no_grad():
            if p.fresh:
                f, g = self.D(images), self.D(self.G(noise))
                real_labels = assign(f, bank.real)
                fake_labels = assign(g, bank.real if p.fake_labels == "real" else bank.fake)
            bank.update(f.detach(), g.detach(), real_labels, fake_labels)
        return {"loss_center": loss.detach(), "center_step": 1 - closed.float()}

    def _gate_closed(self, loss: Tensor) -> Tensor:
        """Whether the center step is skipped, as a 0-dim bool tensor: the readings of L_center >= d_round (row 1)."""
        p = self.preset
        if not p.center_loss:
            return torch.ones_like(loss, dtype=torch.bool)
        if p.center_gate == "floor":
            return loss <= p.d_round
        started = self.iteration >= p.d_round
        return torch.full_like(loss, not started if p.center_gate == "start_step" else started, dtype=torch.bool)

    @torch.no_grad()
    def _recluster(self) -> None:
        assert self.training_set is not None
        images = self._subset(self.training_set, torch.Generator(self.device).manual_seed(self.seed))
        real = torch.cat([self.D(x) for x in self.batches(images)])
        generator = torch.Generator(self.device).manual_seed(self.seed + self.iteration)
        count = len(images) // self.preset.batch + 1
        fake = [self.D(self.G(draw_noise(self.preset, self.preset.batch, generator))) for _ in range(count)]
        self.bank.recluster(real, torch.cat(fake))

    def _update(self, optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()

    @torch.no_grad()
    def _clip(self) -> None:
        if self.preset.clip is not None:
            for p in self._clipped:
                p.clamp_(-self.preset.clip, self.preset.clip)

    def state_dict(self) -> dict[str, Any]:  # noqa: D102
        return {**super().state_dict(), "centers": self.bank.state_dict(), "iteration": self.iteration}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: D102
        super().load_state_dict(state)
        self.bank.load_state_dict(state["centers"])
        self.iteration = state["iteration"]
