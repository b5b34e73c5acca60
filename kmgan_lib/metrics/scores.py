"""Scores of class probabilities, of classes, of two sets of features, and of clusters and their centers."""

import math
import warnings
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64, Real
from scipy import optimize, stats
from scipy.sparse.csgraph import connected_components
from sklearn import metrics as sk
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from kmgan_lib import checks
from kmgan_lib.centers import assign
from kmgan_lib.metrics.neighbours import flat

RESAMPLES, TOLERANCE = 200, 0.1
RAREST_MODE = 0.01  # least share that makes a class a mode, and a center used


@checks.typed
def inception_score(probabilities: Float[Tensor, "n c"], splits: int = 10) -> tuple[float, float]:
    r"""Exponential of the mean divergence from the marginal, Eq. (8) (Salimans et al., 2016).

    .. math:: \exp\big(E_x\, KL(p(y|x)\,\|\,p(y))\big)

    Mean and population standard deviation over consecutive ``splits``, at most n, each with its own marginal, as in
    the original code; between 1 and the number of classes. The name is right only for probabilities of the Inception
    network of 2015.
    """
    if splits < 1 or len(probabilities) < splits:
        raise ValueError(f"{splits} splits need at least {splits} rows, and there are {len(probabilities)}")
    scores = []
    for part in probabilities.double().tensor_split(splits):
        marginal = part.mean(0, keepdim=True)
        # xlogy is 0 at probability 0, where the naive p log p would be NaN
        divergence = (torch.special.xlogy(part, part) - torch.special.xlogy(part, marginal)).sum(1)
        scores.append(divergence.mean().exp())
    return torch.stack(scores).mean().item(), torch.stack(scores).std(correction=0).item()


def _root(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (d,) and a matrix R with R'R = covariance (unbiased, as NumPy's ``cov``)."""
    if len(features) < 2:
        raise ValueError("a covariance needs the features of at least 2 images")
    mean = features.mean(0)
    return mean, torch.linalg.qr((features - mean) / (len(features) - 1) ** 0.5, mode="r").R


@checks.typed
def frechet_distance(features_a: Real[Tensor, "n d"], features_b: Real[Tensor, "m d"]) -> float:
    r"""Squared Fréchet distance of the normal distributions fitted to two sets of features (Heusel et al., 2017).

    .. math:: \|\mu_a - \mu_b\|^2 + \mathrm{tr}\big(\Sigma_a + \Sigma_b - 2(\Sigma_a\Sigma_b)^{1/2}\big)

    With :math:`\Sigma_a = R_a^T R_a` the last trace is the sum of the singular values of :math:`R_a R_b^T`, accurate
    for singular covariances too. In squared units of the features, in double precision; NaN for features that are not
    finite. The estimate is biased upwards for small n: compare only equal n. The name FID is right only for the 2,048
    features of the Inception network of 2015.
    """
    a, b = (features.detach().cpu().double() for features in (features_a, features_b))
    if not (a.isfinite().all() and b.isfinite().all()):
        return float("nan")
    (mean_a, root_a), (mean_b, root_b) = _root(a), _root(b)
    cross = torch.linalg.svdvals(root_a @ root_b.T).sum()
    return ((mean_a - mean_b).square().sum() + root_a.square().sum() + root_b.square().sum() - 2 * cross).item()


@checks.typed
def kernel_distance(
    features_a: Real[Tensor, "n d"], features_b: Real[Tensor, "m d"], subsets: int = 100, subset_size: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:  # fmt: skip
    r"""Squared maximum mean discrepancy under a cubic kernel, unbiased (KID's formula; Binkowski et al., 2018).

    .. math:: k(x, y) = (x^T y / d + 1)^3, \qquad
       \frac{\sum_{i \ne j} k(a_i, a_j) + k(b_i, b_j)}{s(s - 1)} - \frac{2 \sum_{i, j} k(a_i, b_j)}{s^2}

    Mean and population standard deviation over ``subsets`` pairs of random subsets of ``subset_size`` rows s each, at
    most n and m, drawn without replacement by the seed; in double precision. It has no bias in n, so that it is around
    0, and may be below it, for equal distributions.
    """
    a, b = (features.detach().cpu().double() for features in (features_a, features_b))
    size = subset_size
    if subsets < 1 or not 2 <= size <= min(len(a), len(b)):
        raise ValueError(f"{subsets} subsets of {size} rows: need at least 1 subset of 2 to {min(len(a), len(b))} rows")
    generator = torch.Generator().manual_seed(seed)
    values = []
    for _ in range(subsets):
        x, y = (f[torch.randperm(len(f), generator=generator)[:size]] for f in (a, b))
        xx, yy, xy = ((u @ v.T / a.shape[1] + 1) ** 3 for u, v in ((x, x), (y, y), (x, y)))
        within = xx.sum() - xx.diagonal().sum() + yy.sum() - yy.diagonal().sum()
        values.append(within / (size * (size - 1)) - 2 * xy.mean())
    return torch.stack(values).mean().item(), torch.stack(values).std(correction=0).item()


@checks.typed
def class_frequency(predicted_labels: Int64[Tensor, " n"], classes: int) -> dict[str, Any]:
    r"""Share of each class with its Wilson 95% interval, and a test against equal shares (Section 4.3, Fig. 5c).

    For labels 0 ... classes - 1, ``frequency``, ``low``, ``high``: lists of length ``classes``, shares in [0, 1];
    ``chi2``, ``p``: Pearson's statistic against equal shares with classes - 1 degrees of freedom, and its p-value.
    """
    n = len(predicted_labels)
    if not (n and predicted_labels.min() >= 0 and predicted_labels.max() < classes):
        raise ValueError(f"there are no labels to count, or not all are 0 to {classes - 1}")
    counts = torch.bincount(predicted_labels.cpu(), minlength=classes).double().numpy()
    bounds = [stats.binomtest(int(count), n).proportion_ci(method="wilson") for count in counts]
    chi2, p = stats.chisquare(counts)
    return {
        "frequency": (counts / n).tolist(), "low": [float(bound.low) for bound in bounds],
        "high": [float(bound.high) for bound in bounds], "chi2": float(chi2), "p": float(p),
    }  # fmt: skip


@checks.typed
def corrected_frequency(
    predicted_labels: Int64[Tensor, " n"], confusion: Real[Tensor, "c c"], seed: int = 0
) -> dict[str, list[float]]:
    r"""Share of each class, corrected for the classifier's confusions.

    .. math:: \hat\pi = \arg\min_{\pi \ge 0,\; \sum_i \pi_i = 1} \|C^T \pi - p\|_2, \qquad
              C_{ij} = P(\text{predicted } j \,|\, \text{true } i)

    with p the predicted shares of generated images, which are assumed to be confused like real ones. C is estimated
    from ``confusion``, counts of real test images, true classes in rows, none of them empty, predicted ones in columns.
    ``corrected``, ``corrected_low`` and ``corrected_high`` are lists of c shares in [0, 1], the bounds those of a 95%
    parametric bootstrap of predictions and rows of C.
    """
    counts, n = confusion.cpu().double().numpy(), len(predicted_labels)
    totals = counts.sum(1)
    if n == 0 or not ((counts >= 0) & (counts < 2**31)).all() or not totals.all():
        raise ValueError("a correction needs labels, and counts of real images, at least one of each class")
    rows = counts / totals[:, None]
    shares = torch.bincount(predicted_labels.cpu(), minlength=len(counts)).double().numpy() / n
    random, whole = np.random.default_rng(seed), totals.astype(int)
    predicted = random.multinomial(n, shares, RESAMPLES) / n
    resampled = [_unmixed(random.multinomial(whole, rows) / totals[:, None], p) for p in predicted]
    low, high = np.quantile(resampled, [0.025, 0.975], axis=0)
    corrected = _unmixed(rows, shares)
    return {"corrected": corrected.tolist(), "corrected_low": low.tolist(), "corrected_high": high.tolist()}


def _unmixed(rows: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """The point of the simplex whose mixture of rows (c, c) is nearest to the shares (c,)."""
    # Least squares with non-negative weights; a heavy extra equation holds their sum at 1.
    heavy = 1e4
    weights = optimize.nnls(np.vstack([rows.T, np.full(len(rows), heavy)]), np.append(shares, heavy))[0]
    return weights / weights.sum()


@checks.typed
def clustering_scores(true_labels: Int64[Tensor, " n"], cluster_labels: Int64[Tensor, " n"]) -> dict[str, float]:
    """Agreement of a clustering with the true classes.

    ``nmi``: normalized mutual information (arithmetic mean); ``ari``: adjusted Rand index; ``accuracy``: share of
    points in the best one-to-one matching of clusters and classes (Hungarian method); ``purity``: share of points in
    the majority class of their cluster. All at most 1; a random clustering has ``nmi`` and ``ari`` near 0.
    """
    if len(true_labels) == 0:
        raise ValueError("there are no labels to compare")
    truth, clusters = true_labels.cpu().numpy(), cluster_labels.cpu().numpy()
    table = sk.cluster.contingency_matrix(truth, clusters)
    rows, columns = optimize.linear_sum_assignment(table, maximize=True)
    return {
        "nmi": float(sk.normalized_mutual_info_score(truth, clusters)),
        "ari": float(sk.adjusted_rand_score(truth, clusters)),
        "accuracy": float(table[rows, columns].sum() / len(truth)),
        "purity": float(table.max(0).sum() / len(truth)),
    }


@checks.typed
def kmeans_labels(features: Float[Tensor, "n d"], k: int, seed: int = 0) -> Int64[Tensor, " n"]:
    """Clusters by scikit-learn's K-Means, the best of ten starts; at most as many as there are distinct features."""
    if not features.float().isfinite().all():
        raise ValueError("features must be finite numbers of single precision")
    points = features.detach().cpu().double().numpy()
    clusters = min(k, len(np.unique(points, axis=0)))
    fitted = KMeans(clusters, n_init=10, random_state=seed)  # pyright: ignore[reportArgumentType]
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):  # for rows that differ too little
        return torch.from_numpy(np.asarray(fitted.fit_predict(points), dtype=np.int64))


def distinct_points(points: Tensor, within: float) -> int:
    """Number of groups of points (k, d), where points no farther apart than ``within`` are in one group."""
    close = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist") <= within
    return int(connected_components(close.numpy(), directed=False, return_labels=False))


@checks.typed
def center_scores(
    centers: Float[Tensor, "k d"], features: Float[Tensor, "n d"], tolerance: float = TOLERANCE
) -> dict[str, float | int]:
    r"""Whether K-Means has k clusters or one (Section 3.3): distances of centers, how many are distinct, and their use.

    Centers no farther apart than ``tolerance`` times the spread of the features, :math:`s = \sqrt{E\|f - Ef\|^2}`,
    count as one: to merge two clusters at a distance :math:`\delta s` raises the K-Means loss by at most
    :math:`\delta^2/4` of the features' variance.

    ``spread``: s. ``distance``, ``smallest_distance``: mean and minimum over pairs of centers, in units of s (0 for
    k = 1 or s = 0). ``distinct``: number of distinct centers, 1 ... k. ``used``: number of centers that are nearest to
    at least a share ``least_share`` of the features: 1%, or half of an equal share where k is above 50. ``entropy``:
    :math:`-\sum_m p_m \ln p_m` of the shares of features assigned to each center, in nats; ``evenness``: the same over
    :math:`\ln k` (0 for k = 1).
    """
    if not (len(centers) and len(features)):
        raise ValueError("there are no centers, or no features, to measure")
    centers, features, k = centers.detach().cpu().double(), features.detach().cpu().double(), len(centers)
    spread = (features - features.mean(0)).square().sum(1).mean().sqrt().item()
    gaps = torch.pdist(centers)
    shares = torch.bincount(assign(features, centers), minlength=k).double() / len(features)
    entropy = torch.special.entr(shares).sum().item()
    measured = len(gaps) > 0 and spread > 0
    least = min(RAREST_MODE, 1 / (2 * k))
    return {
        "spread": spread, "distance": gaps.mean().item() / spread if measured else 0.0,
        "smallest_distance": gaps.min().item() / spread if measured else 0.0,
        "distinct": distinct_points(centers, tolerance * spread), "used": int((shares >= least).sum()),
        "least_share": least, "entropy": entropy, "evenness": entropy / math.log(k) if k > 1 else 0.0,
    }  # fmt: skip


@checks.typed
def within_class_scores(
    images: Real[Tensor, "n d *rest"], labels: Int64[Tensor, " n"], real: Real[Tensor, "m d *rest"],
    real_labels: Int64[Tensor, " m"], rarest: float = RAREST_MODE,
) -> dict[str, Any]:  # fmt: skip
    r"""Variety within classes: variance of generated images over that of real ones, class by class.

    .. math:: \rho_c = \frac{V(\{g_i : \text{class } c\})}{V(\{x_j : \text{class } c\})}, \qquad
              V(S) = \tfrac{1}{|S| - 1} \textstyle\sum_{s \in S} \|s - \bar s\|^2

    Images are uint8 or float in [0, 1], with their classes by the same classifier. ``ratios``: list over all classes,
    None for those with less than a share ``rarest`` or two images in either set, or no variance in the real one.
    ``present``: number of the others; ``within``, ``smallest``: mean and least of their ratios, 0 if there are none.
    """
    ratios: list[float | None] = []
    for c in range(1 + int(max(labels.max(), real_labels.max()))):
        groups = images[labels == c], real[real_labels == c]
        few = any(len(g) < max(2, rarest * len(all_)) for g, all_ in zip(groups, (images, real), strict=True))
        ours, theirs = (0.0, 0.0) if few else (flat(g).var(0).sum().item() for g in groups)
        ratios.append(ours / theirs if theirs > 0 else None)
    present = [ratio for ratio in ratios if ratio is not None]
    return {
        "within": sum(present) / len(present) if present else 0.0, "smallest": min(present, default=0.0),
        "present": len(present), "ratios": ratios,
    }  # fmt: skip
