"""KM-GAN, Algorithm 1: discriminator, generator and center step on one batch, then K-Means on the features."""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from kmgan_lib import losses
from kmgan_lib.centers import CenterBank, Update, assign, kmeans_plus_plus, lloyd, share_between
from kmgan_lib.config import Preset, field
from kmgan_lib.data.images import content_keys
from kmgan_lib.distributed import all_gather, shard
from kmgan_lib.methods.base import Variants, detached, draw_noise
from kmgan_lib.methods.parts import Clustered, clip_weights, label_entropy
from kmgan_lib.models.layers import require_labels

PIXEL_ROUNDS = 20  # of Lloyd's algorithm, where K-Means works on pixels


class KMGAN(Clustered):
    r"""Regular and generalized KM-GAN (Algorithm 1 and Eq. 7), trained by three Adams, one per objective (row 17).

    One iteration, on one batch x and one noise z:

    1. :math:`f = D(x)`, :math:`g = D(G(z))`; labels are the nearest *real* centers (row 4).
    2. D step on Eq. (5), with the same features.
    3. G step on Eq. (6), with the labels of the first pass.
    4. Center step: D and G together on Eq. (4), skipped where its gate is closed.
    5. The centers move by the features of the center step, or by fresh ones (row 7).

    With ``clip``, D's parameters are clipped after every step that moves them (row 14). Rows: those of the readings.
    """

    name = "kmgan"
    on_points = True

    class Options(Preset):
        k: int = field(10, "Section 2.1", "number of centers", gt=0)
        grouping: Literal["nearest", "pixels", "random", "true", "partition"] = field(
            "nearest", "ours", "labels: nearest centers, or K-Means on pixels, random, true, a fixed random partition"
        )
        told: bool = field(False, "ours", "G is given the cluster to draw; Eq. (6) pulls it there", later=True)
        center_loss: bool = field(True, "Eq. (4)", "train on the center loss; off for the ablation of Section 3.1")
        center_moves: Literal["both", "discriminator", "generator"] = field(
            "both", "Algorithm 1", "networks that the center step moves", later=True
        )
        d_round: float = field(0.0, "Eq. (4); readings, row 1", "threshold of the center loss", ge=0)
        center_gate: Literal["floor", "start_step", "stop_step"] = field(
            "floor", "readings, row 1", "what d_round bounds: the loss from below, or the first or last iteration"
        )
        per_cluster: bool = field(False, "readings, row 2", "distances of corresponding centers, not of their sums")
        center_update: Update = field("eq4", "readings, row 6", "how a batch moves the centers")
        fresh: bool = field(False, "readings, row 7", "recompute the features for the update, by one more pass")
        fake_labels: Literal["real", "own"] = field("real", "readings, row 4", "centers that label generated samples")
        reduction: losses.Reduction = field("frobenius", "readings, row 9", "norm of Eqs. (5) and (6)")
        lambda_pair: float = field(0.0, "Eq. (7)", "weight lambda of L_intra and L_inter", ge=0)
        pair_reduction: losses.PairReduction = field("mean", "readings, row 33", "pair sums or means")
        init_images: int = field(10_000, "readings, row 23", "images whose features k-means++ sees", ge=2)
        lloyd_iterations: int = field(0, "readings, row 23", "rounds of Lloyd's algorithm after k-means++", ge=0)
        recluster_every: int = field(1000, "readings, row 6", "iterations between two runs of recluster", gt=0)
        clip: float | None = field(None, "Section 4.2.2", "bound on D's parameters, or none", gt=0)
        clip_scope: Literal["all", "weights"] = field("all", "readings, row 14", "which parameters are clipped")
        generator_updates: int = field(1, "Algorithm 1; readings, row 20", "updates of G per update of D", gt=0)

    @classmethod
    def variants(cls, base: Preset) -> Variants:
        if base.network == "synthetic":
            return {"kmgan": {"k": 4}, "kmgan-nocenter": {"k": 4, "center_loss": False}}
        controls: dict[str, dict[str, Any]] = {
            "kmgan-nocenter": {"center_loss": False}, "kmgan-k1": {"k": 1}, "kmgan-percluster": {"per_cluster": True},
            "kmgan-random": {"grouping": "random"}, "kmgan-true": {"grouping": "true"},
            "kmgan-told": {"grouping": "true", "told": True}, "kmgan-partition": {"grouping": "partition"},
            "kmgan-pixels": {"grouping": "pixels"}, "kmgan-centerd": {"center_moves": "discriminator"},
            "kmgan-centerg": {"center_moves": "generator"}, "kmgan-heldout": {"split": "train"},
        }  # fmt: skip
        if base.network == "mnist":
            return {
                "kmgan": {}, "kmgan-clip": {"clip": 1.0}, "kmgan-clip001": {"clip": 0.01},
                "kmgan-clip001w": {"clip": 0.01, "clip_scope": "weights"}, **controls,
                "kmgan-lr2e4": {"learning_rate": 2e-4},
                "kmgan-lr2e4-nocenter": {"learning_rate": 2e-4, "center_loss": False},
                "kmgan-printed": {"d_round": 10_000.0},
                "kmgan-printed-1024": {"d_round": 10_000.0, "feature_dim": 1024},
                # The share of quick's 10,000 iterations that 10,000 iterations are of 25 epochs.
                "kmgan-start": {"center_gate": "start_step", "d_round": 3_660.0},
                "kmgan-generalized": {"lambda_pair": 5.0}, "kmgan-generalized-k20": {"lambda_pair": 5.0, "k": 20},
            }  # fmt: skip
        # Clipping all parameters to 0.01 silences D after its last batch normalization; clipping only weights does not.
        weights: dict[str, Any] = {"clip": 0.01, "clip_scope": "weights"}
        printed: dict[str, Any] = {"clip": 0.01, "clip_scope": "all", "d_round": 20_000.0}
        if base.dataset == "celeba":
            faces = {"lambda_pair": 5.0}
            return {
                "generalized": weights | faces, "generalized-heldout": weights | faces | {"split": "train"},
                "generalized-k20": weights | faces | {"k": 20},
                "generalized-printed": printed | faces | {"pair_reduction": "sum"}, "kmgan": weights,
            }  # fmt: skip
        return {
            "kmgan": weights, "kmgan-printed": printed, "kmgan-noclip": {},
            "kmgan-lr2e4": weights | {"learning_rate": 2e-4},
            **{name: weights | changes for name, changes in controls.items()},
        }  # fmt: skip

    def _build(self) -> None:
        p = self.preset
        self.bank = CenterBank(p.k, self.feature_dim, update=p.center_update)
        self.reclusters = p.center_update == "recluster"
        # On the device, so that the gate needs no read by the host, and a captured step keeps counting.
        self.step_count = nn.Buffer(torch.zeros((), dtype=torch.int64))
        # The fixed centers of K-Means on pixels, if these group the images.
        pixels = p.channels * p.image_size**2
        self.pixel_centers = nn.Buffer(torch.zeros(p.k, pixels)) if p.grouping == "pixels" else None

    def _optimise(self) -> None:
        super()._optimise()
        d, g = list(self.discriminator_net.parameters()), list(self.generator_net.parameters())
        moved = {"both": d + g, "discriminator": d, "generator": g}
        self.center_optimiser = self.optimiser(moved[self.preset.center_moves])

    @torch.no_grad()
    def setup(self, images: Tensor) -> None:
        """Initialise the real centers by k-means++ on D's features of at most ``init_images`` images."""
        p, generator = self.preset, torch.Generator(self.device).manual_seed(self.seed)
        features = self._run_all(self.discriminator_net, self._seen(images, generator))
        self.bank.initialise(features, generator, lloyd_iterations=p.lloyd_iterations)
        if self.pixel_centers is not None:  # images do not move, and neither do their clusters
            pixels = self._run_all(nn.Flatten(), self._seen(images, generator))
            self.pixel_centers.copy_(lloyd(pixels, kmeans_plus_plus(pixels, p.k, generator), PIXEL_ROUNDS))

    def step(self, images: Tensor, labels: Tensor | None, noise: Tensor) -> dict[str, Tensor]:
        p, bank, told = self.preset, self.bank, None
        if p.told:
            told = shard(torch.randint(p.k, (p.batch,), generator=self.rng, device=self.device))
        fake = self.G(noise, told)
        f, g = self.D(images), self.D(fake.detach())
        real_labels, fake_labels = self._group(f.detach(), g.detach(), images, fake.detach(), labels, told)
        real_targets, fake_targets = bank.real[real_labels], bank.real[fake_labels]

        loss_d = losses.discriminator_loss(f, g, real_targets, fake_targets, reduction=p.reduction)
        if p.lambda_pair:
            intra = losses.intra_distance(f, g, reduction=p.pair_reduction)
            loss_d = loss_d + p.lambda_pair * (intra - losses.inter_distance(f, g, reduction=p.pair_reduction))
        self._update(self.discriminator_optimiser, loss_d)
        clip_weights(self.discriminator_net, p.clip, p.clip_scope)

        loss_g = loss_d.new_zeros(())
        for update in range(p.generator_updates):
            fake = self.G(noise, told) if update else fake
            g = self.D(fake)
            loss_g = losses.generator_loss(g, fake_targets, reduction=p.reduction)
            if p.lambda_pair:
                with torch.no_grad():
                    f = self.D(images)
                loss_g = loss_g + p.lambda_pair * losses.inter_distance(f, g, reduction=p.pair_reduction)
            self._update(self.generator_optimiser, loss_g)

        logged = detached(loss_d=loss_d, loss_g=loss_g)
        logged |= self._center_step(images, labels, noise, told, real_labels, fake_labels)
        self.step_count.add_(1)
        return {**logged, "assignment_entropy": label_entropy(real_labels, p.k)}

    def _group(
        self, f: Tensor, g: Tensor, images: Tensor, fake: Tensor, labels: Tensor | None, told: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Labels of real and generated features: those of K-Means, of the controls, or those given to G."""
        p, bank = self.preset, self.bank
        generated = assign(g, bank.real if p.fake_labels == "real" else bank.fake)
        if p.grouping == "random":
            real, generated = torch.randint(p.k, (2, len(f)), generator=self.rng, device=self.device)
        elif self.pixel_centers is not None:
            real, generated = (all_gather(assign(x.flatten(1), self.pixel_centers)) for x in (images, fake))
        elif p.grouping == "true":
            real = all_gather(require_labels(labels))
        else:
            real = assign(f, bank.real) if p.grouping == "nearest" else all_gather(content_keys(images) % p.k)
        return real, generated if told is None else all_gather(told)

    def _center_step(
        self, images: Tensor, labels: Tensor | None, noise: Tensor, told: Tensor | None, real_labels: Tensor,
        fake_labels: Tensor,
    ) -> dict[str, Tensor]:  # fmt: skip
        """The center step on Eq. (4), then the update of the centers."""
        p, bank = self.preset, self.bank
        with torch.set_grad_enabled(p.center_loss):
            f, g = self.D(images), self.D(self.G(noise, told))
            loss = losses.center_loss(f, g, real_labels, fake_labels, bank.real, bank.fake, per_cluster=p.per_cluster)
        closed = self._gate_closed(loss.detach())
        # Apple's fused Adam ignores found_inf, so there the host has to read the gate.
        if p.center_loss and not (self.device.type == "mps" and bool(closed)):
            # A fused Adam skips its step on the device where found_inf is 1: the host need not read the loss, and a
            # skipped step moves neither weights nor moments.
            self.center_optimiser.found_inf = closed.float()  # pyright: ignore[reportAttributeAccessIssue]
            self._update(self.center_optimiser, loss)
            clip_weights(self.discriminator_net, p.clip, p.clip_scope)
        with torch.no_grad():
            if p.fresh:
                fake = self.G(noise, told)
                f, g = self.D(images), self.D(fake)
                real_labels, fake_labels = self._group(f, g, images, fake, labels, told)
            bank.update(f.detach(), g.detach(), real_labels, fake_labels)
        return detached(
            loss_center=loss, center_step=1 - closed.float(), between_real=share_between(f.detach(), real_labels, p.k),
            between_fake=share_between(g.detach(), fake_labels, p.k),
        )  # fmt: skip

    def _gate_closed(self, loss: Tensor) -> Tensor:
        """Whether the center step is skipped, as a 0-dim bool tensor: the readings of L_center >= d_round (row 1)."""
        p = self.preset
        if not p.center_loss:
            return torch.ones_like(loss, dtype=torch.bool)
        if p.center_gate == "floor":
            return loss <= p.d_round
        started = self.step_count >= p.d_round
        return ~started if p.center_gate == "start_step" else started

    @torch.no_grad()
    def _recluster(self, images: Tensor, done: int) -> None:
        images = self._seen(images, torch.Generator(self.device).manual_seed(self.seed))
        real = self._run_all(self.discriminator_net, images)
        generator = torch.Generator(self.device).manual_seed(self.seed + done)
        p, fake = self.preset, list[Tensor]()
        for _ in range(len(images) // p.batch + 1):
            noise = draw_noise(p, p.batch, generator)
            told = torch.randint(p.k, (p.batch,), generator=generator, device=self.device) if p.told else None
            fake.append(self.D(self.G(noise, told)))
        self.bank.recluster(real, torch.cat(fake))
