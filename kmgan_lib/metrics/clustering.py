"""Clusters, centers and classes: do they agree, have they become one, does variety within them get lost."""

import math
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64, Real
from scipy.optimize import linear_sum_assignment
from scipy.sparse.csgraph import connected_components
from sklearn import metrics as sk
from sklearn.cluster import KMeans
from torch import Tensor

from kmgan_lib import checks
from kmgan_lib.centers import assign
from kmgan_lib.metrics.neighbours import flat

TOLERANCE = 0.1
RAREST_MODE = 0.01  # least share that makes a class a mode, and a center used


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
    rows, columns = linear_sum_assignment(table, maximize=True)
    return {
        "nmi": float(sk.normalized_mutual_info_score(truth, clusters)),
        "ari": float(sk.adjusted_rand_score(truth, clusters)),
        "accuracy": float(table[rows, columns].sum() / len(truth)),
        "purity": float(table.max(0).sum() / len(truth)),
    }


@checks.typed
def kmeans_labels(features: Float[Tensor, "n d"], k: int, seed: int = 0) -> Int64[Tensor, " n"]:
    """Clusters by scikit-learn's K-Means, the best of ten starts; no more than there are distinct features."""
    if not features.float().isfinite().all():
        raise ValueError("features must be finite numbers of single precision")
    points = features.detach().cpu().double().numpy()
    clusters = min(k, len(np.unique(points, axis=0)))
    fitted = KMeans(clusters, n_init=10, random_state=seed)  # pyright: ignore[reportArgumentType]
    return torch.from_numpy(np.asarray(fitted.fit_predict(points), dtype=np.int64))


def distinct_points(points: Tensor, within: float) -> int:
    """Number of groups of points (k, d), those no farther apart than ``within`` being of one group."""
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
    None for those that lack a share of ``rarest`` or two images in either, or variance in the real ones. ``present``:
    number of the others; ``within``, ``smallest``: mean and least of their ratios, 0 where there are none.
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
