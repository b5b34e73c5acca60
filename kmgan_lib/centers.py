"""K-Means on features: k-means++, assignment, and the bank of real and generated centers with its update rules."""

from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from kmgan_lib.checks import typed
from kmgan_lib.errors import UsageError
from kmgan_lib.models.layers import one_hot

Update = Literal["eq4", "counts", "counts100", "ema", "recluster"]
EMA_DECAY = 0.9
STARVED, RESEEDINGS = 0.1, 5  # see `fed`


def distances(a: Tensor, b: Tensor, p: float = 2) -> Tensor:
    """Pairwise p-norm distances (n, m) of rows, in at least float32, without a product that loses digits far from 0."""
    kind = torch.promote_types(torch.promote_types(a.dtype, b.dtype), torch.float32)
    return torch.cdist(a.to(kind), b.to(kind), p, compute_mode="donot_use_mm_for_euclid_dist")


@typed
def assign(features: Float[Tensor, "b d"], centers: Float[Tensor, "k d"]) -> Tensor:
    r"""Labels (b,) int64, :math:`\ell_i = \arg\min_m \|f_i - c_m\|_2` (Section 2.3), the lowest index on a tie."""
    return distances(features, centers).square().argmin(1)


def cluster_sums(features: Tensor, labels: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Sum (k, d) and number (k, 1) of each cluster's features, by one matrix product without branches."""
    hot = one_hot(labels, k, features.dtype)
    return hot.T @ features, hot.sum(0).unsqueeze(1)


def cluster_means(features: Tensor, labels: Tensor, centers: Tensor) -> Tensor:
    """Mean (k, d) of each cluster's features; a cluster without features keeps its center."""
    sums, counts = cluster_sums(features, labels, len(centers))
    return torch.where(counts > 0, sums / counts.clamp_min(1), centers)


@typed
def updated_centers(
    centers: Float[Tensor, "k d"], features: Float[Tensor, "b d"], labels: Int64[Tensor, " b"]
) -> Tensor:
    r"""The fraction of Eq. (4): each center averaged with the features of its cluster.

    .. math:: c_m \leftarrow \frac{c_m + \sum_{i: \ell_i = m} f_i}{1 + n_m}

    This is the center update of Wen et al. (2016) with :math:`\alpha = 1`; it is differentiable. A cluster without
    features keeps its center; a feature whose label is outside 0 ... k-1 is ignored.
    """
    return fractions(centers, features, labels)


def fractions(centers: Tensor, features: Tensor, labels: Tensor) -> Tensor:
    """`updated_centers` without its checks of the arguments."""
    sums, counts = cluster_sums(features, labels, len(centers))
    return (centers + sums) / (1 + counts)


@typed
def kmeans_plus_plus(features: Float[Tensor, "n d"], k: int, generator: torch.Generator) -> Tensor:
    r"""Initial centers by greedy k-means++ (Arthur and Vassilvitskii, 2007).

    The first center is drawn uniformly. Each later step draws :math:`2 + \lfloor\ln k\rfloor` candidates with
    probability proportional to the squared distance to the nearest center so far, and keeps the one that lowers the sum
    of these most. ``generator`` must be on the features' device. Raises `UsageError` for fewer features than centers.
    """
    n = len(features)
    if not 1 <= k <= n:
        raise UsageError(f"k = {k} centers need at least {k} samples, and there are {n}: choose k between 1 and {n}")
    trials = 2 + int(torch.tensor(float(k)).log())
    centers = [features[torch.randint(n, (1,), generator=generator, device=features.device)]]
    nearest = distances(features, centers[0]).square().squeeze(1)
    for _ in range(1, k):
        # If every sample coincides with a center, all weights are zero, and any sample will do.
        total = nearest.sum()
        weights = torch.where((total > 0) & total.isfinite(), nearest, torch.ones_like(nearest))
        candidates = torch.multinomial(weights, trials, replacement=True, generator=generator)
        reduced = torch.minimum(nearest.unsqueeze(1), distances(features, features[candidates]).square())
        best = reduced.sum(0).argmin()
        nearest = reduced[:, best]
        centers.append(features[candidates[best]].unsqueeze(0))
    return torch.cat(centers)


def lloyd(features: Tensor, centers: Tensor, iterations: int) -> Tensor:
    """At most ``iterations`` rounds of Lloyd's algorithm, Eq. (3), on features (n, d) from centers (k, d)."""
    for _ in range(iterations):
        moved = cluster_means(features, assign(features, centers), centers)
        if torch.equal(moved, centers):
            break
        centers = moved
    return centers


def fed(features: Tensor, centers: Tensor, generator: torch.Generator, iterations: int) -> Tensor:
    """Centers (k, d) of `lloyd` on features (n, d), after reseeding those with less than a tenth of an equal share.

    They move to features drawn as in k-means++, and ``iterations`` rounds of `lloyd` follow; five times at most.
    """
    for _ in range(RESEEDINGS):
        labels = assign(features, centers)
        starved = (one_hot(labels, len(centers)).mean(0) < STARVED / len(centers)).unsqueeze(1)
        squares = (features - centers[labels]).square().sum(1)
        if not starved.any() or not 0 < squares.sum() < torch.inf:
            break
        drawn = torch.multinomial(squares, len(centers), replacement=True, generator=generator)
        centers = lloyd(features, torch.where(starved, features[drawn], centers), iterations)
    return centers


@torch.no_grad()
def share_between(features: Tensor, labels: Tensor, k: int) -> Tensor:
    r"""Share :math:`R^2`, 0 ... 1, of the variance of features (b, d) that lies between the clusters of labels (b,).

    .. math:: R^2 = \frac{\sum_m n_m \|\mu_m - \mu\|^2}{\sum_i \|f_i - \mu\|^2}
              = 1 - \frac{\sum_i \|f_i - \mu_{\ell_i}\|^2}{\sum_i \|f_i - \mu\|^2}

    where :math:`\mu_m` is the mean of the :math:`n_m` features of cluster m and :math:`\mu` that of all features; 0 if
    the features differ only by rounding.
    """
    centered, limits = features - features.mean(0), torch.finfo(features.dtype)
    sums, counts = cluster_sums(centered, labels, k)
    between, total = (sums.square() / counts.clamp_min(1)).sum(), centered.square().sum()
    rounding = 1e3 * limits.eps**2 * features.square().sum() + limits.tiny
    return (between / total.clamp_min(rounding)).clamp(max=1)


class CenterBank(nn.Module):
    r"""The k real centers c and the k generated centers :math:`\hat c`, and how they move.

    ``real`` and ``fake`` are (k, d); ``real_counts`` and ``fake_counts`` (k, 1) count the features that each center has
    seen. ``update`` says how a batch moves them (readings, row 6):

    - ``eq4``: the fraction of Eq. (4), `updated_centers`. It follows the features as D changes.
    - ``counts``: Sculley's mini-batch K-Means: the mean of all features ever assigned, so that its rate falls to 0.
    - ``counts100``: the same with counts that start at 100, as in DCN (Yang et al., 2017).
    - ``ema``: :math:`c \leftarrow 0.9\,c + 0.1\,\bar f` for clusters with features in the batch.
    - ``recluster``: batches move nothing; from time to time `recluster` runs Lloyd's algorithm on many features.
    """

    @typed
    def __init__(self, k: int, feature_dim: int, *, update: Update = "eq4", device: torch.device | str = "cpu"):
        super().__init__()
        self.update_rule = update
        centers, counts = torch.zeros(k, feature_dim), torch.full((k, 1), 100.0 if update == "counts100" else 0.0)
        self.real, self.real_counts = nn.Buffer(centers.to(device)), nn.Buffer(counts.to(device))
        self.fake, self.fake_counts = nn.Buffer(self.real.clone()), nn.Buffer(self.real_counts.clone())

    def initialise(self, features: Tensor, generator: torch.Generator, *, lloyd_iterations: int = 0) -> None:
        """Set the real centers by k-means++ on features (n, d); the generated centers start as a copy of them."""
        self.real.copy_(lloyd(features, kmeans_plus_plus(features, len(self.real), generator), lloyd_iterations))
        self.fake.copy_(self.real)

    @torch.no_grad()
    def update(self, real_features: Tensor, fake_features: Tensor, real_labels: Tensor, fake_labels: Tensor) -> None:
        """Move both banks by one batch, in place."""
        self._move(self.real, self.real_counts, real_features, real_labels)
        self._move(self.fake, self.fake_counts, fake_features, fake_labels)

    def _move(self, centers: Tensor, counts: Tensor, features: Tensor, labels: Tensor) -> None:
        sums, batch = cluster_sums(features, labels, len(centers))
        if self.update_rule == "eq4":
            centers.copy_((centers + sums) / (1 + batch))
        elif self.update_rule in ("counts", "counts100"):
            centers.copy_(torch.where(batch > 0, (centers * counts + sums) / (counts + batch).clamp_min(1), centers))
        elif self.update_rule == "ema":
            moved = torch.lerp(sums / batch.clamp_min(1), centers, EMA_DECAY)
            centers.copy_(torch.where(batch > 0, moved, centers))
        counts.add_(batch)

    @torch.no_grad()
    def recluster(self, real_features: Tensor, fake_features: Tensor, *, iterations: int = 20) -> None:
        """Run Lloyd's algorithm on real features (n, d), then average the fake features nearest to each real center."""
        self.real.copy_(lloyd(real_features, self.real, iterations))
        self.fake.copy_(cluster_means(fake_features, assign(fake_features, self.real), self.fake))
