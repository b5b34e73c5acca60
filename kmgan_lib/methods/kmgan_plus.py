"""KM-GAN+, a repair of KM-GAN: clusters of D's features are the classes that both networks are given."""

import copy
import itertools
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from kmgan_lib.centers import assign, cluster_means, fed, kmeans_plus_plus, lloyd
from kmgan_lib.config import Preset, field
from kmgan_lib.data.images import content_keys
from kmgan_lib.distributed import all_gather
from kmgan_lib.losses import center_loss
from kmgan_lib.methods.base import Variants, detached
from kmgan_lib.methods.parts import Clustered, label_entropy, unnormalised
from kmgan_lib.models.layers import one_hot, reestimate_batch_norm, require_labels

ROUNDS, NORM_BATCHES = 20, 50  # of Lloyd's algorithm; for the batch statistics of the anchor


class KMGANPlus(Clustered):
    r"""Clusters of D's features replace class labels: G draws from one, and D judges whether an image is of it.

    .. math:: v(x, y) = \langle w, f(x) \rangle + \langle e_y, f(x) \rangle + b, \qquad
              y(x) = \arg\min_m \|\varphi(x) - c_m\|

    .. math:: L_D = -E \log \sigma(v(x, y)) - E \log \sigma(-v(G(z, y), y)), \qquad
              L_G = -E \log \sigma(v(G(z, y), y))

    f is D without its last unit; :math:`\varphi`, the ``anchor``, is a copy of f from the last run of K-Means, so that
    an image keeps its cluster until the next; ``centers`` (k, d) are of its features. A generated image has the y of
    the real one at the same place in the batch. With ``grouping=none`` this is `DCGAN` without labels, and with
    ``norm=spectral`` and the hinge loss too it is `SNGAN`.

    Every ``recluster_every`` iterations K-Means runs again from the means of its clusters, and the new clusters are
    numbered so that they share as many images as possible with the old ones (Hungarian method).
    """

    name = "kmgan_plus"
    clustered = "cluster_images"

    class Options(Preset):
        k: int = field(10, "Section 2.1", "number of clusters", gt=0)
        grouping: Literal["nearest", "partition", "true", "none"] = field(
            "nearest", "Liu et al., 2020", "clusters: of K-Means, or a fixed random partition, the true labels, or none"
        )
        told: bool = field(True, "Liu et al., 2020", "G is given the cluster of the real image at its place")
        embedding: Literal["learned", "centers", "none"] = field(
            "learned", "Miyato and Koyama, 2018", "vector of a cluster for D: learned, its center of K-Means, or none"
        )
        loss: Literal["logistic", "hinge"] = field("logistic", "DCGAN; Miyato et al., 2018", "objective of D and G")
        center_loss: float = field(0.0, "Eq. (4); readings, row 2", "weight of the center loss, per cluster", ge=0)
        recluster_every: int = field(1000, "Liu et al., 2020", "iterations between two runs of K-Means", gt=0)
        cluster_images: int = field(10_000, "readings, row 23", "images whose features K-Means sees", ge=2)

    @classmethod
    def variants(cls, base: Preset) -> Variants:
        own = unnormalised(base)
        random, center = {"grouping": "partition"}, {"center_loss": 0.01}
        true: dict[str, Any] = {"kmgan_plus-true": own | {"grouping": "true"}} if base.dataset != "celeba" else {}
        return {"kmgan_plus": own, "kmgan_plus-random": own | random, "kmgan_plus-center": own | center, **true}

    @classmethod
    def make_generator(cls, preset: Preset) -> nn.Module:
        """G with the cluster sizes as a buffer, so that samples are drawn in the same proportions."""
        net = super().make_generator(preset)
        if k := cls.generator_classes(preset):
            net.register_buffer("shares", torch.full((k,), 1 / k))
        return net

    def _build(self) -> None:
        d, p = self.feature_dim, self.preset
        self.reclusters = p.grouping == "nearest"
        self.logit, self.embedding = self.linear(d), nn.Identity()
        if p.embedding == "learned" and p.grouping != "none":
            self.embedding = nn.Linear(d, p.k, bias=False)
        if self.preset.norm == "spectral":
            for layer in (self.logit, self.embedding):
                if isinstance(layer, nn.Linear):
                    spectral_norm(layer)
        self.anchor = copy.deepcopy(self.discriminator_net).requires_grad_(False).eval()
        self.centers, self.directions = nn.Buffer(torch.zeros(p.k, d)), nn.Buffer(torch.zeros(p.k, d))

    def setup(self, images: Tensor) -> None:
        """Copy D, and cluster its features by k-means++ and Lloyd's algorithm."""
        self.anchor.load_state_dict(self.discriminator_net.state_dict())
        if self.reclusters:
            self._recluster(images, 0)

    @torch.no_grad()
    def _recluster(self, images: Tensor, done: int) -> None:
        from scipy.optimize import linear_sum_assignment

        k, generator = self.preset.k, torch.Generator(self.device).manual_seed(self.seed + done)
        images = self._seen(images, generator)
        before = assign(self._run_all(self.anchor, images), self.centers) if done else None
        self.anchor.load_state_dict(self.discriminator_net.state_dict())
        if self.preset.norm == "batch":
            batches = list(itertools.islice(self.batches(images), NORM_BATCHES))
            reestimate_batch_norm(self.anchor, lambda i: self.anchor(batches[i]), len(batches))
        f = self._run_all(self.anchor, images)
        start = kmeans_plus_plus(f, k, generator) if before is None else cluster_means(f, before, self.centers)
        centers = fed(f, lloyd(f, start, ROUNDS), generator, ROUNDS)
        if before is not None:
            shared = one_hot(before, k).T @ one_hot(assign(f, centers), k)
            centers = centers[torch.from_numpy(linear_sum_assignment(-shared.cpu().numpy())[1]).to(self.device)]
        labels = assign(f, centers)
        self.centers.copy_(centers)
        apart = (centers - centers.mean(0)).nan_to_num(0, 0, 0)  # of a D that diverged, as its losses will show
        self.directions.copy_(apart / torch.linalg.matrix_norm(apart, 2).clamp_min(1e-12))
        for net in (self.generator_net, self.average_net):
            if net is not None and self.generator_classes(self.preset):
                net.shares.copy_(one_hot(labels, k).mean(0))  # pyright: ignore[reportCallIssue]

    @torch.no_grad()
    def clusters(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Clusters (b,) of real images (b, ...): those that both networks are given."""
        if self.preset.grouping == "true":
            return require_labels(labels)
        if self.preset.grouping == "partition":
            return content_keys(images) % self.preset.k
        if self.preset.grouping == "none":
            return torch.zeros(len(images), dtype=torch.int64, device=images.device)
        return assign(self.run_net(self.anchor, images), self.centers)

    def _value(self, features: Tensor, clusters: Tensor) -> Tensor:
        """The value v (b,) that D gives to features (b, d) under clusters (b,)."""
        value, p = self.logit(features).squeeze(1), self.preset
        if p.embedding == "none" or p.grouping == "none":
            return value
        by_cluster = self.embedding(features) if p.embedding == "learned" else features @ self.directions.T
        return value + (by_cluster * one_hot(clusters, p.k, value.dtype)).sum(1)

    def step(self, images: Tensor, labels: Tensor | None, noise: Tensor) -> dict[str, Tensor]:
        p, mine = self.preset, self.clusters(images, labels)
        y = all_gather(mine)
        fake = self.G(noise, mine)
        f, g = self.D(images), self.D(fake.detach())
        real_value, fake_value = self._value(f, y), self._value(g, y)
        push = F.softplus if p.loss == "logistic" else lambda x: F.relu(1 + x)
        loss_d, between = push(-real_value).mean() + push(fake_value).mean(), self._between(f, g, y)
        self._update(self.discriminator_optimiser, loss_d + p.center_loss * between if p.center_loss else loss_d)

        g = self.D(fake)
        value = self._value(g, y)
        loss_g = F.softplus(-value).mean() if p.loss == "logistic" else -value.mean()
        pulled = p.center_loss * self._between(f.detach(), g, y) if p.center_loss else 0
        self._update(self.generator_optimiser, loss_g + pulled)
        return detached(
            loss_d=loss_d, loss_g=loss_g, loss_center=between, real_value=real_value.mean(),
            fake_value=fake_value.mean(), assignment_entropy=label_entropy(y, p.k),
        )  # fmt: skip

    def _between(self, f: Tensor, g: Tensor, y: Tensor) -> Tensor:
        """Eq. (4), cluster by cluster; the centers cancel, since real and generated images have the same clusters."""
        return center_loss(f, g, y, y, self.centers, self.centers, per_cluster=True)
