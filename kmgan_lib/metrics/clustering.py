"""How well clusters agree with known classes. No method sees the classes; they only judge."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from sklearn import metrics as sk
from sklearn.cluster import KMeans
from torch import Tensor

from kmgan_lib import checks

SILHOUETTE_POINTS = 2_000


def clustering_scores(true_labels: Tensor, cluster_labels: Tensor) -> dict[str, float]:
    """Agreement of a clustering with the true classes.

    A `ValueError` if the two differ in length, are empty, or are no vectors of int64.

    Parameters
    ----------
    true_labels, cluster_labels : Tensor, (n,) int64
        Classes and clusters, each counted from 0; their numbers need not correspond.

    Returns
    -------
    dict
        ``nmi``: normalised mutual information (arithmetic mean); ``ari``: adjusted Rand index; ``accuracy``: share of
        points in the best one-to-one matching of clusters and classes (Hungarian method); ``purity``: share of points
        in the majority class of their cluster. All at most 1; a random clustering has ``nmi`` and ``ari`` near 0.
    """
    checks.labels(true_labels=true_labels, cluster_labels=cluster_labels)
    if len(true_labels) != len(cluster_labels) or len(true_labels) == 0:
        raise ValueError(f"{len(true_labels)} classes and {len(cluster_labels)} clusters: need equally many, and some")
    truth, clusters = true_labels.cpu().numpy(), cluster_labels.cpu().numpy()
    table = sk.cluster.contingency_matrix(truth, clusters)
    rows, columns = linear_sum_assignment(table, maximize=True)
    return {
        "nmi": float(sk.normalized_mutual_info_score(truth, clusters)),
        "ari": float(sk.adjusted_rand_score(truth, clusters)),
        "accuracy": float(table[rows, columns].sum() / len(truth)),
        "purity": float(table.max(0).sum() / len(truth)),
    }


def kmeans_labels(features: Tensor, k: int, seed: int = 0) -> Tensor:
    """Clusters (n,) of features (n, d) by scikit-learn's K-Means, the best of ten starts.

    Fewer distinct features than k make as many clusters as there are distinct features. A `ValueError` if there are no
    features, if they are no matrix, or not finite in single precision.
    """
    checks.matrices(features=features)
    checks.at_least(1, features=len(features), columns=features.shape[1], k=k)
    k, seed = checks.whole("k", k), checks.seed(seed)
    if not features.float().isfinite().all():
        raise ValueError("features must be finite numbers of single precision")
    points = features.detach().cpu().double().numpy()
    distinct = len(np.unique(points, axis=0))
    fitted = KMeans(min(k, distinct), n_init=10, random_state=seed)  # pyright: ignore[reportArgumentType]
    return torch.from_numpy(np.asarray(fitted.fit_predict(points), dtype=np.int64))


def silhouette(features: Tensor, cluster_labels: Tensor, points: int = SILHOUETTE_POINTS) -> float | None:
    r"""Mean silhouette :math:`(b - a) / \max(a, b)` of a fixed subsample (Rousseeuw, 1987).

    a is a point's mean distance to its own cluster, b to the nearest other one. It needs no classes: it says how well
    clusters are separated, not whether they are the right ones.

    A `ValueError` if shapes or types are others, or features are not finite in single precision.

    Parameters
    ----------
    features : Tensor, (n, d)
    cluster_labels : Tensor, (n,) int64
    points : int
        Size of the subsample; the distances take its square.

    Returns
    -------
    float or None
        In [-1, 1]; None where all points of the subsample are in one cluster or each is alone.
    """
    checks.matrices(features=features)
    checks.labels(len(features), cluster_labels=cluster_labels)
    checks.at_least(1, points=points, columns=features.shape[1])
    if not features.float().isfinite().all():
        raise ValueError("features must be finite numbers of single precision")
    chosen = torch.randperm(len(features), generator=torch.Generator().manual_seed(0))[:points]
    labels = cluster_labels.cpu()[chosen].numpy()
    if not 2 <= len(np.unique(labels)) < len(labels):
        return None
    return float(sk.silhouette_score(features.detach().cpu()[chosen].double().numpy(), labels))
